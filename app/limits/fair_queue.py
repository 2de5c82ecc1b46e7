"""Fair queueing by caller: while others wait no caller has more than its share of some work.

A caller alone has all of it. Work is cut into slices, each with a cost; between two slices
whoever has had least is next. `FairClock` keeps count.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import NamedTuple, TypeVar

from app.errors import TooMuchWaiting
from app.limits.fair_clock import FairClock

T = TypeVar("T")


class _Waiting(NamedTuple):
    cost: float
    granted: asyncio.Future[None]


class FairQueue:
    """Grants turns. For one event loop; the work itself may run in a thread.

    `capacity` slices run at once. `reserve` more may, each of a caller that has none running: for
    slices that take long and cannot be interrupted, so that nobody waits for another caller's.
    """

    def __init__(self, what: str, *, capacity: int, room: float, reserve: int = 0) -> None:
        """`what` names the work in refusals; `room` is the cost that one caller may have waiting.

        One slice is always taken, whatever it costs.
        """
        self._what = what
        self._capacity = capacity
        self._reserve = reserve
        self._room = room
        self._clock = FairClock()
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._waiting_cost: defaultdict[str, float] = defaultdict(float)
        self._running: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(capacity + reserve, thread_name_prefix=what)

    def close(self, *, wait: bool = False) -> None:
        """Start nothing more in a thread. With `wait` blocks until what runs has ended."""
        self._threads.shutdown(wait=wait, cancel_futures=True)

    @asynccontextmanager
    async def turn(self, caller: str, cost: float) -> AsyncIterator[None]:
        """Wait for the caller's turn, and hold it for the length of the block.

        Raises `TooMuchWaiting` at once when the caller has no room left.
        """
        await self._granted(caller, cost)
        try:
            yield
        finally:
            self._end(caller)

    async def run(self, caller: str, cost: float, work: Callable[[], T]) -> T:
        """Run `work` in a thread when it is the caller's turn. Raises as `turn` does.

        Cancelled while it waits, the work is never done; while it runs, it keeps its turn to its
        end.
        """
        await self._granted(caller, cost)
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(self._threads, copy_context().run, work)
        except BaseException:
            self._end(caller)
            raise
        running.add_done_callback(lambda _: self._end(caller))
        running.add_done_callback(_look_at)
        return await asyncio.shield(running)

    async def _granted(self, caller: str, cost: float) -> None:
        queued = self._waiting_cost[caller]
        if queued and queued + cost > self._room:
            raise TooMuchWaiting(f"too much of this caller's work waits to be {self._what}")
        waiting = _Waiting(cost, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(caller, deque()).append(waiting)
        self._waiting_cost[caller] += cost
        self._grant()
        try:
            await waiting.granted
        except asyncio.CancelledError:
            if waiting.granted.cancelled():
                self._forget(caller, waiting)
            else:
                self._end(caller)
            raise

    def _grant(self) -> None:
        """Let run what may."""
        while (caller := self._clock.next_of(filter(self._may_run, self._waiting))) is not None:
            waiting = self._waiting[caller][0]
            self._forget(caller, waiting)
            if not waiting.granted.done():
                self._clock.charge(caller, waiting.cost)
                self._running[caller] += 1
                waiting.granted.set_result(None)

    def _may_run(self, caller: str) -> bool:
        running = self._running.total()
        reserved = running < self._capacity + self._reserve and not self._running[caller]
        return running < self._capacity or reserved

    def _forget(self, caller: str, waiting: _Waiting) -> None:
        queue = self._waiting.get(caller)
        if queue is None or waiting not in queue:
            return
        queue.remove(waiting)
        self._waiting_cost[caller] -= waiting.cost
        if not queue:
            del self._waiting[caller], self._waiting_cost[caller]

    def _end(self, caller: str) -> None:
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        self._grant()


def _look_at(running: asyncio.Future[T]) -> None:
    """What fails after its caller is gone is no error that nobody looked at."""
    if not running.cancelled():
        running.exception()
