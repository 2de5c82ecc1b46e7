"""JSON bodies as RFC 8259 means them, bounded: what readers disagree about is refused at once.

The standard library takes NaN, duplicate keys and lone surrogates, and fails on depth in
ways of its own; jiter, pydantic's parser, refuses all of these but NUL.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import jiter
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

# After an even number of backslashes: else it is a backslash, and some text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class StrictJsonRoute(APIRoute):
    """A route whose body is read so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request that reads JSON strictly."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Raises a 400."""
        body = await self.body()
        try:
            parsed = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError as error:
            raise HTTPException(400, f"the body is not valid JSON: {str(error)[:200]}") from None
        if rb"\u0000" in body and _NUL.search(body):
            raise HTTPException(400, "the body holds a NUL character; leave it out")
        return parsed
