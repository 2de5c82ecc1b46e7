"""The next call of a turn: its permit, its limits and, where that is set, its hedge."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from functools import partial

from app.errors import FailureKind, ProviderError
from app.events import LLMEvent
from app.llm.attempt import Attempt
from app.llm.budget import caller_name
from app.llm.circuit import Permit
from app.llm.hedge import hedged
from app.llm.ledger import HAIKU, LLAMA, Ledger
from app.llm.provider import ChatRequest
from app.llm.targets import ModelTarget, Targets
from app.llm.timing import TimeLimits
from app.llm.turn import RoutedCall

OpenEvents = AbstractAsyncContextManager[AsyncIterator[LLMEvent]]

HEDGED = "hedged"
RESERVED_FOR_THE_NEXT = 1 / 3
"""The part of the total limit that is reserved for the model after this one."""

_PASSING = {
    FailureKind.OVERLOADED,
    FailureKind.SERVER,
    FailureKind.RATE_LIMIT,
    FailureKind.CONNECTION,
    FailureKind.PROTOCOL,
    FailureKind.EMPTY,
}


@dataclass(frozen=True, slots=True)
class Calls:
    """Opens the calls of turns.

    Attributes:
        hedge_after_s: Seconds without content after which Haiku is called too; 0 for never.
    """

    targets: Targets
    ledger: Ledger
    limits: TimeLimits
    hedge_after_s: float

    def open(self, call: RoutedCall, target: ModelTarget) -> OpenEvents | None:
        """Return what opens one call, hedged where that is set.

        Returns:
            The events' context; None where no call is made, with the reason in `call.failures`.
        """
        attempt = self._attempt(call, target, call.reason)
        if attempt is None:
            return None
        if target.ai == LLAMA and self.hedge_after_s and self.targets.haiku in call.targets:
            return self._hedged(call, attempt)
        return aclosing(attempt.run())

    async def wait_for_another_try(self, call: RoutedCall, target: ModelTarget) -> bool:
        """Wait for, and allow, a second call where the failure passes within the limit."""
        failure, called_at = call.failures[target.ai], call.called_at.get(target.ai, [])
        if call.spoke_last or failure.kind not in _PASSING or len(called_at) != 1:
            return False
        jitter = random.uniform(0.1, 0.4)  # noqa: S311 - spreads load, guards nothing
        circuit_s = target.circuit.retry_after_s_for(caller_name())
        wait = max(circuit_s, failure.retry_after_s or 0.0) + jitter
        now = asyncio.get_running_loop().time()
        if now + wait > min(called_at[0] + self.limits.first_content_s, call.context.deadline):
            return False
        await asyncio.sleep(wait)
        return True

    def _attempt(self, call: RoutedCall, target: ModelTarget, reason: str | None) -> Attempt | None:
        """Return the next call of `target`, or None with the failure noted where none is made."""
        request = call.request_for(target)
        permit = self._permit(call, target, request)
        if permit is None:
            return None
        limits = self.limits.for_prompt(request.characters)
        reserved_s = 0.0
        if call.has_another(target):
            reserved_s = self.limits.total_s * RESERVED_FOR_THE_NEXT
            limits = limits.after_waiting(call.context.waited_s.get(target.ai, 0.0))
        called_at = asyncio.get_running_loop().time()
        call.called_at.setdefault(target.ai, []).append(called_at)
        attempt = call.attempts[target.ai] = Attempt(
            target,
            request,
            permit,
            self.ledger,
            limits,
            call.context.deadline - reserved_s,
            reason,
            call.options.buffered,
            on_failure=partial(call.failures.__setitem__, target.ai),
        )
        return attempt

    def _permit(self, call: RoutedCall, target: ModelTarget, request: ChatRequest) -> Permit | None:
        """Return the permit for a call, or None with the reason in `call.failures`."""
        failure = target.too_long(request)
        if failure is None and call.has_another(target):
            failure = call.context.failed.get(target.ai)
        permit = None if failure else target.circuit.try_acquire(caller_name())
        if permit is None:
            call.failures[target.ai] = failure or ProviderError(
                FailureKind.CIRCUIT_OPEN,
                f"{target.provider.name}: circuit open after failures",
                retry_after_s=target.circuit.retry_after_s_for(caller_name()) or None,
            )
        return permit

    def _hedged(self, call: RoutedCall, primary: Attempt) -> OpenEvents:
        """Return what opens Llama's events, or Haiku's where Llama is late; one race a turn."""

        def backup() -> AsyncGenerator[LLMEvent] | None:
            assert self.targets.haiku is not None, "only hedged where Haiku is configured"
            if HAIKU in call.failures:
                return None
            attempt = self._attempt(call, self.targets.haiku, HEDGED)
            return attempt.run() if attempt else None

        def hedge_lost() -> None:
            primary.hedge_lost = LLAMA not in call.failures

        return hedged(primary.run(), backup, self.hedge_after_s, hedge_lost)
