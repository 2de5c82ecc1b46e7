"""Bounds on request bodies: on their length, declared or not, and on their time.

Our own rather than FastAPI's `max_body_size`: that one answers a declared
length over the limit in plain text, without the request id, and knows no time; nor
does uvicorn, which waits for ever for a body that was begun.
"""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import TooMuchWaiting
from app.limits import FairSpace, caller_name

MAX_BODY_BYTES = 1_000_000
"""Of everything but a turn, which may show pictures, and an upload, whose limit is a setting."""
MAX_TURN_BYTES = 12_000_000
TURNS = ("/chat", "/v1/chat/completions", "/api/chat")
UPLOADS = ("POST", "/documents")
MAX_HELD_BYTES = 64_000_000
"""Of all bodies together, until their requests end: they lie in memory. Shared by caller."""
FREE_BYTES = 64_000
"""Of each body, which are not counted: whoever holds much can still ask a question."""
# What stands round the file in a form: boundaries, field names, the other fields.
_FORM_BYTES = 64_000
TIME_S = 20.0
"""For any body, and a second more for each of these of the longest that is taken."""
BYTES_PER_S = 100_000
STALL_S = 20.0
SLOWEST_BYTES_PER_S = 10_000
"""Of any `STALL_S`: a body that comes more slowly, or not at all, is ended."""


class BodyLimitMiddleware:
    """Raises a 413, 408 or 415 in the application for a body too long, too slow, or packed.

    And a 429 for one of a caller whose bodies hold more than its share of the memory.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._space = FairSpace("request bodies", MAX_HELD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_TURN_BYTES if scope["path"] in TURNS else MAX_BODY_BYTES
        if (scope["method"], scope["path"]) == UPLOADS:
            limit = scope["state"]["max_upload_bytes"] + _FORM_BYTES
        limit_s = TIME_S + limit / BYTES_PER_S
        loop, caller = asyncio.get_running_loop(), caller_name.get()
        deadline = loop.time() + limit_s
        stalled = loop.time() + STALL_S
        head = dict(scope["headers"])
        declared = _declared_length(head)
        arriving = has_body(scope)
        received = held = 0
        # Unpacked, its length would be anybody's guess.
        packed = head.get(b"content-encoding", b"").strip().lower()

        async def bounded_receive() -> Message:
            nonlocal arriving, received, held, stalled
            if not arriving:
                # What comes after the body is the client's leaving, for which there is no time.
                return await receive()
            if packed not in (b"", b"identity"):
                raise _not_unpacked(packed)
            if declared > limit:
                raise _too_large(limit)
            try:
                async with asyncio.timeout_at(min(deadline, stalled)):
                    message = await receive()
            except TimeoutError:
                raise _too_slow(limit_s) from None
            arriving = bool(message.get("more_body"))
            arrived = len(message.get("body", b""))
            received += arrived
            stalled = min(stalled + arrived / SLOWEST_BYTES_PER_S, loop.time() + STALL_S)
            if received > limit:
                raise _too_large(limit)
            if received - held > FREE_BYTES:
                self._hold(caller, received - FREE_BYTES - held)
                held = received - FREE_BYTES
            return message

        try:
            await self._app(scope, bounded_receive, send)
        finally:
            self._space.give_back(caller, held)

    def _hold(self, caller: str, amount: int) -> None:
        try:
            self._space.hold(caller, amount)
        except TooMuchWaiting as error:
            headers = {"Retry-After": "5", "Connection": "close"}
            raise HTTPException(429, f"{error}; try again in 5 s", headers) from error


def has_body(scope: Scope) -> bool:
    """Whether something follows the request's head."""
    head = dict(scope["headers"])
    return _declared_length(head) > 0 or b"transfer-encoding" in head


def _declared_length(head: dict[bytes, bytes]) -> int:
    declared = head.get(b"content-length", b"")
    return int(declared) if declared.isdigit() else 0


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is longer than {limit} bytes")


def _not_unpacked(encoding: bytes) -> HTTPException:
    shown = encoding.decode("latin-1")[:20]
    return HTTPException(415, f"send the body as it is, without content-encoding: {shown!r}")


def _too_slow(limit_s: float) -> HTTPException:
    detail = (
        f"the body did not arrive whole within {limit_s:.0f} s, or came more slowly than "
        f"{SLOWEST_BYTES_PER_S} bytes a second for {STALL_S:.0f} s; send it again"
    )
    return HTTPException(408, detail, {"Connection": "close"})
