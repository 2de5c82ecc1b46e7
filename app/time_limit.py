"""A time limit for many short waits, one after another."""

import asyncio
import math
from typing import Any, Self


class TimeLimit:
    """Bounds waits as `asyncio.timeout_at` does, but keeps its timer from one to the next.

    A timer set and cancelled for each piece of an answer, twice, took as long as all else that is
    done for the piece. The waits, each a `with limit.until(moment):`, may be in different tasks;
    `close` it after the last one.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = self._until = math.inf
        self._waiting: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._rang = False

    def until(self, moment: float) -> Self:
        """For the next wait: cancelled, it raises `TimeoutError` at `moment` in the loop's time."""
        self._until = moment
        return self

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        assert task is not None, "only tasks wait"
        self._waiting, self._cancelling = task, task.cancelling()
        if self._until < self._rings_at:
            self._set(self._until)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._waiting = self._waiting, None
        if self._rang and task is not None:
            self._rang = False
            # Somebody else may have cancelled it too, and is not to be taken for the limit.
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError

    def close(self) -> None:
        """Forget the timer."""
        self._set(math.inf)

    def _set(self, moment: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._rings_at = moment
        self._timer = self._loop.call_at(moment, self._ring) if moment < math.inf else None

    def _ring(self) -> None:
        # A wait that is over has moved the limit on; the next one sets a timer again.
        if self._waiting is not None and self._loop.time() >= self._until:
            self._rang = True
            self._waiting.cancel()
        is_early = self._waiting is not None and not self._rang
        self._set(self._until if is_early else math.inf)
