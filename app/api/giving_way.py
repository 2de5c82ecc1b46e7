"""Answers that have begun give way to those that have not.

Where more is asked at once than one process can do, each request waits at each of its steps for
the steps of all others, and for its first words about as long as for its last.
"""

import asyncio
import time
from collections import deque

from app.api.admission import Admission

FEW = 16
"""Up to so many requests at once the wait is short, and less work where it is shared."""
LONGEST_S = 0.45
"""Nobody waits longer between his first words and the next, however much comes."""
IDLE_S = 0.0002
"""A turn of the loop with nothing to do takes 20 µs, one with a step of a request 500."""


class GivingWay:
    """Lets answers go on one by one when the loop has nothing else to do. For one loop."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._turn_began = 0.0

    async def wait(self) -> None:
        """Called once an answer has its first words; at once where little is under way."""
        if self._admission.under_way <= FEW:
            return
        loop = asyncio.get_running_loop()
        may_go_on: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            self._look_again()
        self._waiting.append((time.perf_counter() + LONGEST_S, may_go_on))
        await may_go_on

    def _look_again(self) -> None:
        self._turn_began = time.perf_counter()
        asyncio.get_running_loop().call_soon(self._let_go_on)

    def _let_go_on(self) -> None:
        now = time.perf_counter()
        one = now - self._turn_began < IDLE_S
        while self._waiting and (one or self._waiting[0][0] <= now):
            _, may_go_on = self._waiting.popleft()
            if not may_go_on.done():  # its client has left
                may_go_on.set_result(None)
                one = False
        if self._waiting:
            self._look_again()
