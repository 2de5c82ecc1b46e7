"""Forms with a file, bounded: in the number of their fields before any of them is looked at."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

FORM: Final = "multipart/form-data"
MAX_FIELDS: Final = 30
MAX_FIELD_BYTES: Final = 200_000
"""Of what is no file."""


def is_form(request: Request) -> bool:
    """Whether the body is said to be one."""
    return request.headers.get("content-type", "").lower().startswith(FORM)


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
            async with request.form(
                max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
            ):
                return await handler(request)

        return bounded
