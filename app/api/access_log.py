"""A line in the log for each request, once it is answered.

Our own rather than uvicorn's: that one is written between an answer's first words and the wire,
which holds them up by a twentieth of all that a turn costs, says nothing of how long an answer
took, and shows what stands behind the `?`.
"""

import re
import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.keys import KEY_PREFIX

logger = structlog.get_logger(__name__)

_KEY: Final = re.compile(rf"(?<={KEY_PREFIX})[\w-]++")
"""What a client puts into the path by mistake."""


class AccessLogMiddleware:
    """Logs method, path, status, client and milliseconds. A crash outside of it counts as a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_status)
        finally:
            logger.info(
                f"{scope['method']} {_KEY.sub('…', scope['path'])}",
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
                client=scope["client"] and scope["client"][0],
            )
