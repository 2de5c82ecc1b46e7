"""Start-time fair queueing (Goyal, Vin and Cheng, 1996): whose work is next.

Each caller has a virtual time, which grows by the cost of what it is granted. The least is next. A
caller that was idle starts at the virtual time of the work that was granted last, so that nobody
saves up a claim, and nobody pays for having had everything while alone.
"""

from collections.abc import Iterable

_MAX_IDLE = 1_000
"""Callers that are remembered while they have nothing to do, until they are looked through."""


class FairClock:
    """Virtual times by caller."""

    def __init__(self) -> None:
        self._now = 0.0
        self._finish: dict[str, float] = {}

    def next_of(self, callers: Iterable[str]) -> str | None:
        """Return the caller with the least virtual time; of equals the first."""
        return min(callers, key=self._start_of, default=None)

    def charge(self, caller: str, cost: float) -> None:
        """Count work of this cost that the caller is granted now."""
        start = self._start_of(caller)
        self._now = max(self._now, start)
        self._finish[caller] = start + cost
        if len(self._finish) > _MAX_IDLE:
            # One that is not ahead is as good as one that never came.
            self._finish = {name: at for name, at in self._finish.items() if at > self._now}

    def _start_of(self, caller: str) -> float:
        return max(self._now, self._finish.get(caller, 0.0))
