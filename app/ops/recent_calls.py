"""The last calls of the models, kept in memory for the console."""

import time
from collections import deque
from dataclasses import dataclass

from app.llm.ledger import CallRecord

KEPT = 300
"""Calls: an hour of a quiet service, minutes of a busy one."""


@dataclass(frozen=True, slots=True)
class RecentCall:
    """A call that ended at `ended`, in seconds since 1970."""

    ended: float
    entry: CallRecord


class RecentCalls:
    """The last `KEPT` calls, oldest first."""

    def __init__(self) -> None:
        self.calls: deque[RecentCall] = deque(maxlen=KEPT)

    def add(self, entry: CallRecord) -> None:
        """Keep a call that has just ended."""
        self.calls.append(RecentCall(time.time(), entry))
