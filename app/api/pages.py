"""The pages, and the scripts and styles that they load, under headers that let nothing else in."""

import os
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGES = Path(__file__).parent.parent / "pages"
VENDOR = PAGES / "static" / "vendor"

_EVERYWHERE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE: Final = {
    **_EVERYWHERE,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        # Only what the renderer's own templates and the sanitiser have made becomes markup.
        "require-trusted-types-for 'script'; trusted-types lit-html dompurify"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_A_YEAR: Final = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def chat_page() -> FileResponse:
    """The chat."""
    return page("chat.html")


def page(name: str, status: int = 200) -> FileResponse:
    """One of the pages, by its file's name."""
    return FileResponse(PAGES / name, status, headers=_PAGE)


class PageFiles(StaticFiles):
    """What the pages load. A vendored file has its version in its path, so it never changes."""

    def __init__(self) -> None:
        super().__init__(directory=PAGES / "static")

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, or that it is the one which the browser has."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        vendored = Path(full_path).is_relative_to(VENDOR)
        response.headers.update(_EVERYWHERE)
        response.headers["Cache-Control"] = _A_YEAR if vendored else "no-cache"
        return response
