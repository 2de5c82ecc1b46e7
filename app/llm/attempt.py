"""One call of one model: timed, costed, logged, its outcome recorded."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from app.errors import FailureKind, ProviderError
from app.events import Finished, FinishReason, LLMEvent, RouteChosen, TextDelta, Usage
from app.llm.attempt_log import log_circuit_open, log_failure, log_success
from app.llm.budget import Reservation
from app.llm.circuit import Permit
from app.llm.circuit_gate import CircuitState
from app.llm.continuation import ContinuationFilter
from app.llm.ledger import CANCELLED, CRASHED, LLAMA, SUCCESS, CallRecord, Ledger, Purpose
from app.llm.provider import (
    CHARACTERS_PER_TOKEN,
    CallUsage,
    ChatRequest,
    Completed,
    Content,
    ToolCallDelta,
    estimated_tokens,
)
from app.llm.targets import ModelTarget
from app.llm.timing import TimedStream, TimeLimits

logger = structlog.get_logger(__name__)

SLOW_FRACTION = 0.5
"""An answer whose first content takes more than this part of the limit counts as slow."""

MOST_CHARACTERS_PER_TOKEN = 128
"""The most that is accepted: no token is longer, but for runs of one character."""

_MAY_HAVE_READ_THE_PROMPT = {
    FailureKind.TIMEOUT_FIRST_CONTENT,
    FailureKind.TIMEOUT_TOTAL,
    FailureKind.EMPTY,
    FailureKind.CONTINUATION_MISMATCH,
    FailureKind.PROTOCOL,
    FailureKind.CONTENT_FILTER,
}


@dataclass
class Attempt:
    """One call of a model; `run` makes it, once.

    `reason` is why this target is called and not the first choice; `deadline` is in the event
    loop's time; with `buffered` no text is yielded before the answer is complete.
    """

    target: ModelTarget
    request: ChatRequest
    permit: Permit
    ledger: Ledger
    limits: TimeLimits
    deadline: float
    reason: str | None = None
    buffered: bool = False
    purpose: Purpose = "answer"
    hedge_lost: bool = False
    """Closed because its hedge, which started later, had content first."""
    on_failure: Callable[[ProviderError], None] = lambda _: None
    """Receives the failure before the reader of the events does."""
    _started: float = field(default=0.0, init=False)
    _ttft_ms: float | None = field(default=None, init=False)
    _routed: bool = field(default=False, init=False)
    _written_tokens: float = field(default=0.0, init=False)
    _completed: Completed | None = field(default=None, init=False)
    _held_back: list[LLMEvent] = field(default_factory=list, init=False)
    _continuation: ContinuationFilter | None = field(default=None, init=False)
    _call_usage: CallUsage = field(init=False)

    def __post_init__(self) -> None:
        """Start with nothing reported."""
        self._call_usage = CallUsage(self.target.provider.model)
        if self.request.prefix:
            self._continuation = ContinuationFilter(self.request.prefix)

    @property
    def spoke(self) -> bool:
        """Whether there was any content."""
        return self._ttft_ms is not None

    async def run(self) -> AsyncGenerator[LLMEvent]:
        """Yield `RouteChosen` at the first content, the content, `Finished`.

        Raises:
            ProviderError: The call failed, or the spending limit leaves no room for it.
        """
        reserved = self._reserve()
        if self.target.ai == LLAMA and self.purpose == "answer":
            logger.info("🎯 [Llama Scout] Using PRIMARY AI", model=self.target.provider.model)
        self._started = asyncio.get_running_loop().time()
        self.ledger.call_started(self.target.ai)
        failure: ProviderError | None = None
        disconnected = False
        try:
            await self.target.provider.load()
            self._started = asyncio.get_running_loop().time()
            async with aclosing(self._stream()) as stream:
                async for content in stream:
                    for event in self._take(content):
                        yield event
                    if self._completed:
                        break
        except ProviderError as error:
            failure = error
            self.on_failure(error)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            disconnected = True
            raise
        finally:
            self.ledger.call_ended(self.target.ai)
            finished = self._record_outcome(failure, disconnected=disconnected)
            reserved.record_cost(finished.cost_usd)
        for event in self._held_back:
            yield event
        yield finished

    def _reserve(self) -> Reservation:
        """Reserve what the call may cost. Raises `ProviderError` where a limit has no room."""
        provider, request = self.target.provider, self.request
        most_usd = self.ledger.most(
            provider.name, provider.model, request.most_input_tokens, request.max_tokens
        )
        try:
            return self.ledger.budget.reserve(most_usd)
        except ProviderError as error:
            self.permit.abandoned()
            self.on_failure(error)
            logger.warning("💸 No call was made", ai=self.target.ai, reason=error.detail)
            raise

    def _stream(self) -> TimedStream:
        return TimedStream(
            self.target.provider.stream(self.request, self._call_usage),
            self.limits,
            self.deadline,
            self.request.max_tokens * MOST_CHARACTERS_PER_TOKEN,
        )

    def _take(self, content: Content) -> list[LLMEvent]:
        """Return the events to yield now; a buffered text is held back."""
        events: list[LLMEvent] = []
        for checked in self._continuation.take(content) if self._continuation else (content,):
            if self._ttft_ms is None and not isinstance(checked, Completed):
                elapsed_s = asyncio.get_running_loop().time() - self._started
                self._ttft_ms = elapsed_s * 1000
            events += self._events_of(checked)
        if self.buffered:
            self._held_back += [e for e in events if not isinstance(e, RouteChosen)]
            return [e for e in events if isinstance(e, RouteChosen)]
        return events

    def _events_of(self, event: Content) -> Sequence[LLMEvent]:
        """Return the caller's events. Raises `ProviderError` for an answer without content."""
        if isinstance(event, TextDelta):
            self._written_tokens += estimated_tokens(event.text)
        elif isinstance(event, ToolCallDelta):
            return ()
        elif isinstance(event, Completed):
            self._completed = event
            if not self._routed:
                kind = (
                    FailureKind.CONTINUATION_MISMATCH if self.request.prefix else FailureKind.EMPTY
                )
                raise ProviderError(kind, "an answer without content")
            return ()
        if self._routed:
            return (event,)
        self._routed = True
        provider = self.target.provider
        is_continuation = bool(self.request.prefix)
        route = RouteChosen(
            self.target.ai, provider.model, provider.name, self.reason, continued=is_continuation
        )
        return (route, event)

    def _record_outcome(self, failure: ProviderError | None, *, disconnected: bool) -> Finished:
        """Record the outcome with circuit, ledger and log; return the closing event."""
        finished = self._finished(failure)
        state_before = self.permit.state
        if failure is not None:
            outcome: str = failure.kind
            self.permit.failed(failure)
            log_failure(self.target.ai, failure)
        elif self._completed is not None:
            outcome = SUCCESS
            slow_ms = self.limits.first_content_s * 1000 * SLOW_FRACTION
            self.permit.succeeded(slow=(self._ttft_ms or 0) > slow_ms)
            log_success(self.target.ai, finished, purpose=self.purpose)
        else:
            outcome = CANCELLED if disconnected else CRASHED
            if self.hedge_lost:
                self.permit.hedge_lost()
            else:
                self.permit.abandoned()
        if self.permit.state is CircuitState.OPEN is not state_before:
            log_circuit_open(self.target, self.permit, outcome)
        self.ledger.record(
            CallRecord(
                ai=self.target.ai,
                provider=self.target.provider.name,
                asked_model=self.target.provider.model,
                model=finished.model,
                outcome=outcome,
                usage=finished.usage,
                duration_s=asyncio.get_running_loop().time() - self._started,
                cost_usd=finished.cost_usd,
                saved_usd=finished.saved_usd if outcome == SUCCESS else None,
                ttft_ms=self._ttft_ms,
                reason=self.reason,
                purpose=self.purpose,
                lost_requests=self._call_usage.lost_requests,
            )
        )
        return finished

    def _finished(self, failure: ProviderError | None) -> Finished:
        call_usage, usage = self._call_usage, self._usage(failure)
        cost, saved = self.ledger.cost(
            self.target.provider.name, call_usage.model, usage, call_usage.billed_usd
        )
        reason = self._completed.finish_reason if self._completed else FinishReason.STOP
        return Finished(reason, call_usage.model, usage, cost, saved, self._ttft_ms)

    def _usage(self, failure: ProviderError | None) -> Usage:
        """Return the reported tokens; else an estimate, zero where the prompt was never read."""
        written = int(self._written_tokens)
        reported = self._call_usage.usage
        if reported is not None:
            least = written if reported.estimated else 0
            return replace(reported, output_tokens=max(reported.output_tokens, least))
        read_it = failure and (failure.kind in _MAY_HAVE_READ_THE_PROMPT or failure.status == 200)
        refused = failure and not self._written_tokens and not read_it
        if refused or not self._call_usage.sent:
            return Usage(0, 0)
        read = self.request.characters // CHARACTERS_PER_TOKEN
        if self._completed is None:
            # As reserved, the most that it can be: disconnecting never lowers the cost.
            read = self.request.most_input_tokens
        return Usage(read, written, estimated=True)
