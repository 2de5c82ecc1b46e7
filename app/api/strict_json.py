"""JSON bodies as RFC 8259 means them, bounded: what readers disagree about is refused at once.

The standard library takes NaN, duplicate keys and lone surrogates, and fails on depth in
ways of its own; jiter, pydantic's parser, refuses all of these but NUL. None bounds the number of
values: that is looked at before anything is made of them.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import jiter
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

MAX_VALUES: Final = 30_000
"""In a body: a hundred answers of `useChat`, with all of their sources, have as many."""
MAX_NAMES: Final = 1_000
"""In one object."""
MAX_ITEMS: Final = 1_000
"""In one list."""
MAX_ESCAPES: Final = 1_000_000
"""Backslashes in a body: text that fits a model, with every character of it escaped, has fewer."""
_LONG: Final = 500_000
"""Bytes of a body after whose first look others have their turn."""


class StrictJsonRoute(APIRoute):
    """A route whose body is read so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request that reads JSON strictly."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def body(self) -> bytes:
        """The body, in one place from the start: Starlette keeps each piece for itself."""
        if not hasattr(self, "_body"):
            content = bytearray()
            async for piece in self.stream():
                content += piece
            self._body = bytes(content)
        return self._body

    async def json(self) -> Any:
        """Raises a 400."""
        body = await self.body()
        require_few_values(body)
        if len(body) > _LONG:
            await asyncio.sleep(0)
        try:
            parsed = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError as error:
            raise HTTPException(400, f"the body is not valid JSON: {str(error)[:200]}") from None
        require_small(parsed)
        return parsed


def require_few_values(body: bytes) -> None:
    """Raises a 400 for JSON with too many values or escapes, or with a NUL character.

    Takes a few nanoseconds a byte and makes nothing of the values, whatever the body holds.
    """
    if body.count(b"\\") > MAX_ESCAPES:
        detail = f"the body has more than {MAX_ESCAPES:,} backslashes; send text as UTF-8"
        raise HTTPException(400, detail)
    if b"\\" in body:
        # What is left of an escape after these two is no end of a string.
        body = body.replace(rb"\\", b"")
        if rb"\u0000" in body:
            raise HTTPException(400, "the body holds a NUL character; leave it out")
        body = body.replace(rb"\"", b"")
    if _separators(body) <= MAX_VALUES:
        return
    # Each string is a name or a value; what is between strings is every other part.
    if body.count(b'"') <= 4 * MAX_VALUES:
        body = b"".join(body.split(b'"')[::2])
        if _separators(body) <= MAX_VALUES:
            return
    raise HTTPException(400, f"the body holds more than {MAX_VALUES:,} values")


def _separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def require_small(parsed: Any) -> None:
    """Raises a 400 for an object or a list with too many members."""
    left = [parsed]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if len(value) > MAX_NAMES:
                raise HTTPException(400, f"an object of the body has more than {MAX_NAMES:,} names")
            left += value.values()
        elif isinstance(value, list):
            if len(value) > MAX_ITEMS:
                raise HTTPException(400, f"a list of the body has more than {MAX_ITEMS:,} items")
            left += value
