"""Answers that end with their caller: both forms stop the upstream call when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.giving_way import GivingWay
from app.events import Event, Failed, Finished, Retrieved, RouteChosen
from app.time_limit import TimeLimit
from app.wire.sse import KEEP_ALIVE

KEEP_ALIVE_S = 14.0
"""Proxies and clients give up at 15 s or later."""
SEND_LIMIT_S = 30.0
"""How long a client may leave what was sent unread before it is given up."""

logger = structlog.get_logger(__name__)


class while_connected:  # noqa: N801 - read as the statement it is used in
    """Cancels what the task does within when the client hangs up, and raises `ClientDisconnect`.

    The request's body must have been read.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = self._over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is served in a task"
        self._task = task
        self._watching = asyncio.create_task(self._watch())

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # The watch ends with the answer, as ASGI has it. Cancelled, its exception would be one of
        # a circle of all that belongs to a request: work for the garbage collector.
        self._over = True
        # Somebody else may have cancelled it too, and is not to be taken for the client.
        if kind is asyncio.CancelledError and self._left and self._task.uncancel() == 0:
            raise ClientDisconnect from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._over:
            self._left = True
            self._task.cancel()


class EventStream(Response):
    """A turn as server-sent events, with `keep_alive` whenever none was sent for `KEEP_ALIVE_S`.

    Begins with the first content, so that a failure before it has a true status code.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[Event],
        encode: Callable[[Event], bytes],
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`encode` makes the frames of an event, each in its turn; they may be none."""
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers})
        self._events = events
        self._encode = encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events. Raises as they do, and `ClientDisconnect`, before the first content."""
        begun = False
        giving_way: GivingWay = scope["state"]["giving_way"]
        try:
            with while_connected(receive):
                async with aclosing(self._events) as events:
                    first = await self._up_to_content(events)
                    begun = True
                    await self._send(first, events, send, giving_way)
        except ClientDisconnect:
            if not begun:
                raise
        except _Unread:
            # Without a last chunk the server closes the connection, and the client can tell.
            logger.warning("client reads too slowly", limit_s=SEND_LIMIT_S)

    async def _up_to_content(self, events: AsyncGenerator[Event]) -> bytes:
        frames = []
        async for event in events:
            frames.append(self._encode(event))
            if not isinstance(event, Retrieved | RouteChosen):
                break
        return b"".join(frames)

    async def _send(
        self, first: bytes, events: AsyncGenerator[Event], send: Send, giving_way: GivingWay
    ) -> None:
        clock = asyncio.get_running_loop().time
        limit = TimeLimit()
        silence = _Silence(send)

        async def send_body(body: bytes, *, more: bool) -> None:
            silence.ends()
            try:
                with limit.until(clock() + SEND_LIMIT_S):
                    await send({"type": "http.response.body", "body": body, "more_body": more})
            except TimeoutError:
                raise _Unread from None

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send_body(first, more=True)
            await giving_way.wait()
            last = b""
            async for event in events:
                body = self._encode(event)
                if isinstance(event, Finished | Failed):
                    last = body  # sent with the end of the answer, in one write
                elif body:
                    await send_body(body, more=True)
            await send_body(last, more=False)
        finally:
            limit.close()
            silence.close()


class _Unread(Exception):
    """The client does not read. No `TimeoutError`: one that the events raise is a bug."""


class _Silence:
    """Fills silences. One timer a stream and no task, since frames are many and silences few."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._filling: asyncio.Task[None] | None = None
        self._began = self._loop.time()
        self._timer = self._loop.call_later(KEEP_ALIVE_S, self._ring)

    def ends(self) -> None:
        """Something is sent."""
        self._began = self._loop.time()

    def close(self) -> None:
        """The stream ends."""
        self._timer.cancel()
        if self._filling:
            self._filling.cancel()

    def _ring(self) -> None:
        if self._loop.time() >= self._began + KEEP_ALIVE_S:
            self.ends()
            # One at most waits for a client that does not read.
            if self._filling is None or self._filling.done():
                self._filling = self._loop.create_task(self._fill())
        self._timer = self._loop.call_at(self._began + KEEP_ALIVE_S, self._ring)

    async def _fill(self) -> None:
        await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
