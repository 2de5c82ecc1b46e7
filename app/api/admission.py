"""Refusing early what cannot be served, so that what was admitted stays as fast as before.

Our own rather than uvicorn's `limit_concurrency`: that one refuses health checks
too, in plain text and without a request id.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import problem

ALWAYS_SERVED = ("/health", "/ready")


class AdmissionMiddleware:
    """Answers 503 at once while `max_concurrent_requests` of the resources are under way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counted, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_SERVED:
            await self._app(scope, receive, send)
            return
        limit = scope["state"]["max_concurrent_requests"]
        if self._under_way >= limit:
            detail = f"{limit} requests are under way already; try again in a second"
            # Kept open, the refused would use up the descriptors of those who are served.
            headers = {"Retry-After": "1", "Connection": "close"}
            await problem(503, detail, headers=headers)(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
