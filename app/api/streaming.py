"""Answers that end with their caller: both forms stop the upstream call when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import TypeVar

import structlog
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Send

from app.time_limit import TimeLimit

KEEP_ALIVE_S = 14.0
"""Proxies and clients give up at 15 s or later."""
SEND_LIMIT_S = 30.0
"""How long a client may leave what was sent unread before it is given up."""

logger = structlog.get_logger(__name__)

T = TypeVar("T")


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up.

    Raises `ClientDisconnect` then. The request's body must have been read.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def resumed(taken: list[T], rest: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """The events already taken off a stream, then the rest of it."""
    async with aclosing(rest):
        for event in taken:
            yield event
        async for event in rest:
            yield event


class EventStream(StreamingResponse):
    """Server-sent events, with `keep_alive` whenever nothing was sent for `KEEP_ALIVE_S`."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes],
        keep_alive: bytes,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        unbuffered = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(frames, headers={**unbuffered, **headers})
        self._frames = frames
        self._keep_alive = keep_alive
        self._last_sent = 0.0

    async def stream_response(self, send: Send) -> None:
        """Send the frames. Closing them closes all that is behind them."""
        clock = asyncio.get_running_loop().time
        self._last_sent = clock()
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        # One task a stream, not a timer a frame: frames are many, silences few.
        keeping_alive = asyncio.create_task(self._fill_silences(send))
        limit = TimeLimit()
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    self._last_sent = clock()
                    with limit.until(self._last_sent + SEND_LIMIT_S):
                        await send({"type": "http.response.body", "body": frame, "more_body": True})
        except TimeoutError:
            # Without a last chunk the server closes the connection, and the client can tell.
            logger.warning("client reads too slowly", limit_s=SEND_LIMIT_S)
            return
        finally:
            limit.close()
            keeping_alive.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _fill_silences(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            quiet_until = self._last_sent + KEEP_ALIVE_S
            await asyncio.sleep(quiet_until - clock())
            if clock() >= self._last_sent + KEEP_ALIVE_S:
                self._last_sent = clock()
                await send(
                    {"type": "http.response.body", "body": self._keep_alive, "more_body": True}
                )
