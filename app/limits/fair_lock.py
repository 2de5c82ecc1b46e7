"""A lock shared by caller: of those who wait, the caller that has held it least is next."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from app.limits.fair_clock import FairClock


class FairLock:
    """For threads, not reentrant. `FairClock` counts the seconds that each caller holds it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._clock = FairClock()
        self._held = False
        self._waiting: dict[str, deque[threading.Event]] = {}

    @contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """Wait for the caller's turn, and hold the lock for the length of the block."""
        with self._mutex:
            granted = None if not self._held else threading.Event()
            self._held = True
            if granted:
                self._waiting.setdefault(caller, deque()).append(granted)
        if granted:
            granted.wait()
        began = time.monotonic()
        try:
            yield
        finally:
            self._release(caller, time.monotonic() - began)

    def _release(self, caller: str, held_s: float) -> None:
        with self._mutex:
            self._clock.charge(caller, held_s)
            following = self._clock.next_of(self._waiting)
            self._held = following is not None
            if following is not None:
                queue = self._waiting[following]
                queue.popleft().set()
                if not queue:
                    del self._waiting[following]
