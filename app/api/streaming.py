"""Answers that end with their caller: both forms stop the upstream call when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.frames import SEND_LIMIT_S, Frames, Unread
from app.api.giving_way import GivingWay
from app.events import Event, Failed, Finished, Retrieved, RouteChosen

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
    """A turn as server-sent events, with `keep_alive` whenever none was sent for long.

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
        except Unread:
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
        frames = Frames(send)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await frames.send(first)
            await giving_way.wait()
            last = b""
            async for event in events:
                body = self._encode(event)
                if isinstance(event, Finished | Failed):
                    last = body  # sent with the end of the answer, in one write
                elif body:
                    await frames.send(body)
            await frames.send(last, more=False)
        finally:
            frames.close()
