"""A bound on request bodies, whether they declare their length or not.

Our own rather than FastAPI's `max_body_size`: that one answers a declared
length over the limit in plain text, without the request id.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1_000_000


class BodyLimitMiddleware:
    """Raises a 413 inside the application when the body is longer than `MAX_BODY_BYTES`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            if _declared_length(scope) > MAX_BODY_BYTES:
                raise _too_large()
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise _too_large()
            return message

        await self._app(scope, bounded_receive if scope["type"] == "http" else receive, send)


def _declared_length(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"")
    return int(declared) if declared.isdigit() else 0


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
