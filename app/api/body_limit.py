"""A bound on request bodies, whether they declare their length or not.

Our own rather than FastAPI's `max_body_size`: that one answers a declared
length over the limit in plain text, without the request id.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1_000_000
"""Of everything but an upload, whose limit is a setting."""
UPLOADS = ("POST", "/documents")
# What stands round the file in a form: boundaries, field names, the other fields.
_FORM_BYTES = 64_000


class BodyLimitMiddleware:
    """Raises a 413 inside the application when the body is longer than its limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_BODY_BYTES
        if (scope["method"], scope["path"]) == UPLOADS:
            limit = scope["state"]["max_upload_bytes"] + _FORM_BYTES
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            if _declared_length(scope) > limit:
                raise _too_large(limit)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, bounded_receive, send)


def _declared_length(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"")
    return int(declared) if declared.isdigit() else 0


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is longer than {limit} bytes")
