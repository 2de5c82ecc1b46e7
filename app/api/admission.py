"""Refusing early what cannot be served, so that what was admitted stays as fast as before.

Our own rather than uvicorn's `limit_concurrency`: that one refuses health checks
too, in plain text and without a request id.
"""

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.body_limit import has_body
from app.api.errors import refusal as refused

ALWAYS_SERVED = ("/health", "/ready")
# Kept open, the refused would use up the descriptors of those who are served.
_COME_AGAIN = {"Retry-After": "1", "Connection": "close"}


@dataclass
class Admission:
    """Whether one more request is taken: not over `limit` at once, and none when `closing`."""

    limit: int
    under_way: int = 0
    closing: bool = False

    @property
    def refusal(self) -> str | None:
        """Why a request that came now would be refused."""
        if self.closing:
            return "the service is closing; try again in a second"
        if self.under_way >= self.limit:
            return f"{self.limit} requests are under way already; try again in a second"
        return None


class AdmissionMiddleware:
    """Answers 503 at once to what the resources' `Admission` does not take."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counted from when all of it has arrived, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_SERVED:
            await self._app(scope, receive, send)
            return
        admission: Admission = scope["state"]["admission"]
        if refusal := admission.refusal:
            await refused(scope["path"], 503, refusal, _COME_AGAIN)(scope, receive, send)
            return
        # Who is slow to send a request keeps no place from those who have sent theirs.
        counted = not has_body(scope)
        admission.under_way += counted

        async def counting_receive() -> Message:
            nonlocal counted
            message = await receive()
            if not counted and message["type"] == "http.request" and not message.get("more_body"):
                if refusal := admission.refusal:
                    raise HTTPException(503, refusal, _COME_AGAIN)
                counted = True
                admission.under_way += 1
            return message

        try:
            await self._app(scope, counting_receive, send)
        finally:
            admission.under_way -= counted
