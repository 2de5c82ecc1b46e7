"""The frames of a stream on their way to a client that may be slow, or read nothing at all."""

import asyncio

from starlette.types import Send

from app.wire.sse import KEEP_ALIVE

KEEP_ALIVE_S = 14.0
"""Proxies and clients give up at 15 s or later."""
SEND_LIMIT_S = 30.0
"""How long a client may leave what was sent unread before it is given up."""


class Unread(Exception):
    """The client does not read. No `TimeoutError`: one that the events raise is a bug."""


class Frames:
    """Sends frames, fills silences, and gives up a client that does not read.

    One timer a stream and no task, since frames are many and silences few.
    """

    def __init__(self, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is served in a task"
        self._task = task
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._filling: asyncio.Task[None] | None = None
        self._sends = self._gives_up = False
        self._began = self._loop.time()
        self._look_again(self._began + KEEP_ALIVE_S)

    async def send(self, body: bytes, *, more: bool = True) -> None:
        """Raises `Unread` where it takes longer than `SEND_LIMIT_S`."""
        self._began = self._loop.time()
        self._sends = True
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except asyncio.CancelledError:
            # Somebody else may have cancelled it too, and is not to be taken for the limit.
            if self._gives_up and self._task.uncancel() == 0:
                raise Unread from None
            raise
        finally:
            self._sends = False

    def close(self) -> None:
        """The stream ends."""
        self._timer.cancel()
        if self._filling:
            self._filling.cancel()

    def _look_again(self, due: float) -> None:
        # No later than a send that begins meanwhile has time for.
        soon = self._loop.time() + SEND_LIMIT_S
        self._timer = self._loop.call_at(min(due, soon), self._look)

    def _look(self) -> None:
        due = self._began + (SEND_LIMIT_S if self._sends else KEEP_ALIVE_S)
        if self._loop.time() >= due:
            if self._sends:
                self._gives_up = True
                self._task.cancel()
                return
            self._began = self._loop.time()
            due = self._began + KEEP_ALIVE_S
            # One at most waits for a client that does not read.
            if self._filling is None or self._filling.done():
                self._filling = self._loop.create_task(self._fill())
        self._look_again(due)

    async def _fill(self) -> None:
        await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
