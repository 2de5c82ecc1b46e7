"""Refusing early what cannot be served, so that what was admitted stays as fast as before.

Our own rather than uvicorn's `limit_concurrency`: that one refuses health checks
too, in plain text and without a request id.
"""

from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import problem

ALWAYS_SERVED = ("/health", "/ready")


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
        """Pass the request on, counted, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_SERVED:
            await self._app(scope, receive, send)
            return
        admission: Admission = scope["state"]["admission"]
        if refusal := admission.refusal:
            # Kept open, the refused would use up the descriptors of those who are served.
            headers = {"Retry-After": "1", "Connection": "close"}
            await problem(503, refusal, headers=headers)(scope, receive, send)
            return
        admission.under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            admission.under_way -= 1
