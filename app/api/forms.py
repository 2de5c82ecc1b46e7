"""Forms with a file, bounded: in the number of their fields before any of them is looked at."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

FORM: Final = "multipart/form-data"
MAX_FIELDS: Final = 30
MAX_FIELD_BYTES: Final = 200_000
"""Of what is no file."""
_CHARSETS: Final = (b"utf-8", b"utf8", b"us-ascii")


def is_form(request: Request) -> bool:
    """Whether the body is said to be one."""
    return request.headers.get("content-type", "").lower().startswith(FORM)


@asynccontextmanager
async def bounded_form(request: Request, max_files: int) -> AsyncIterator[FormData]:
    """The request's form, whose files are closed after the block. Raises a 400."""
    _, options = parse_options_header(request.headers["content-type"])
    charset = options.get(b"charset", b"utf-8").lower()
    if charset not in _CHARSETS:
        # Any of Python's codecs could be named: some take the square of the text's length.
        raise HTTPException(400, f"send the form as UTF-8, not {charset.decode('latin-1')[:50]!r}")
    async with request.form(
        max_files=max_files, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    ) as form:
        yield form


class OneFileRoute(APIRoute):
    """A route whose body, where it takes one, is a form with one file."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request whose form has been read."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def bounded(request: Request) -> Response:
            if not is_form(request):
                raise HTTPException(415, f"send a form, with the header content-type: {FORM}")
            # Kept by the request: FastAPI, which reads it next, bounds it far less.
            async with bounded_form(request, max_files=1):
                return await handler(request)

        return bounded
