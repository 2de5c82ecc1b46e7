"""The router: Llama 4 Scout first, Claude Haiku 4.5 when it cannot.

Before the first content a failed call is replaced and the caller never knows,
but for the reason in `RouteChosen`. After it Haiku goes on from the words that
were said (docs/adr/003); where that cannot be, the answer ends in one `Failed`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

import structlog

from app.errors import AnswerUnavailable, FailureKind, ProviderError
from app.events import (
    AiName,
    Failed,
    Finished,
    FinishReason,
    LLMEvent,
    Message,
    RouteChosen,
    TextDelta,
    ToolCall,
    Usage,
)
from app.llm.attempt import Attempt, Side
from app.llm.circuit import Circuit
from app.llm.continuation import continuation, joined
from app.llm.ledger import CANCELLED, HAIKU, LLAMA, SUCCESS, Ledger
from app.llm.pricing import PriceList
from app.llm.provider import ChatRequest, KeyState, Provider, Tool
from app.llm.timing import TimeLimits

logger = structlog.stdlib.get_logger(__name__)

Model = Literal["auto", "llama-scout", "haiku"]

KEY_RECHECK_S = 30.0
DEFAULT_MAX_TOKENS = 2048

_BAD_KEY = (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)


@dataclass(frozen=True, slots=True)
class ChatResult:
    """A whole answer. Costs are US dollars, None when unknown."""

    text: str
    ai_used: AiName
    model: str
    provider: str
    fallback_reason: str | None
    finish_reason: FinishReason
    usage: Usage
    cost_usd: float | None
    saved_usd: float | None
    ttft_ms: float | None
    tool_calls: list[ToolCall] = field(default_factory=list)


class LlamaScoutClient:
    """Routes a conversation to a model. Either side may be missing."""

    def __init__(
        self,
        llama: Provider | None = None,
        haiku: Provider | None = None,
        *,
        force_haiku: bool = False,
        limits: TimeLimits | None = None,
        prices: PriceList | None = None,
        haiku_model: str = "claude-haiku-4-5",
        circuit_breaker: bool = True,
        continue_mid_answer: bool = True,
    ) -> None:
        self.force_haiku = force_haiku
        self.ledger = Ledger(prices or PriceList(), haiku_model)
        self.llama = Side(LLAMA, llama, Circuit(enabled=circuit_breaker)) if llama else None
        self.haiku = Side(HAIKU, haiku, Circuit(enabled=circuit_breaker)) if haiku else None
        self._limits = limits or TimeLimits()
        self._goes_on = continue_mid_answer
        if llama is not None:
            logger.info("✅ Llama 4 Scout client initialized", model=llama.model)

    @property
    def metrics(self) -> dict[str, float]:
        """The guide's four figures, since the start of the process."""
        succeeded = self.ledger.outcomes[LLAMA, SUCCESS]
        left = self.ledger.outcomes[LLAMA, CANCELLED]
        return {
            "llama_success": succeeded,
            "llama_failures": self.ledger.calls(LLAMA) - succeeded - left,
            "haiku_fallbacks": self.ledger.fallbacks,
            "total_cost_saved": self.ledger.saved_usd,
        }

    def is_available(self) -> bool:
        """Whether any model could be asked now, as far as is known of the keys."""
        return any(side.circuit.key_state not in _BAD_KEY for side in self._usable())

    async def chat_async(
        self,
        messages: Sequence[Message],
        model: Model = "llama-scout",
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float | None = None,
        system: str | None = None,
        tools: Sequence[Tool] = (),
    ) -> ChatResult:
        """Answer whole: the fold of `stream`, which may start over on Haiku at any moment.

        Raises `AnswerUnavailable` when no model answered, `ProviderError` when
        the model refused the content.
        """
        stream = self.stream(messages, model, max_tokens, temperature, system, tools, whole=True)
        async with aclosing(stream):
            return fold([event async for event in stream])

    async def stream(
        self,
        messages: Sequence[Message],
        model: Model = "llama-scout",
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float | None = None,
        system: str | None = None,
        tools: Sequence[Tool] = (),
        *,
        whole: bool = False,
    ) -> AsyncGenerator[LLMEvent]:
        """Yield the answer as it comes; with `whole`, its text only once it is complete.

        Raises, before the first event only, `AnswerUnavailable` when no model
        answered and `ProviderError` when the model refused the content.
        """
        request = ChatRequest(messages, system, max_tokens, temperature, tools)
        deadline = asyncio.get_running_loop().time() + self._limits.total_s
        sides, reason = self._plan(model, has_tools=bool(tools))
        failures: dict[str, ProviderError] = {}
        said = ""
        for side in sides:
            if side.ai == HAIKU and LLAMA in failures:
                logger.warning("   Falling back to Haiku 4.5...", reason=reason)
            permit = side.circuit.admit()
            if permit is None:
                failures[side.ai] = _left_alone(side)
                reason = FailureKind.CIRCUIT_OPEN
                continue
            call = Attempt(
                side,
                continuation(request, said) if said else request,
                permit,
                self.ledger,
                self._limits,
                deadline,
                reason,
                whole,
            )
            pieces = [said]
            try:
                async with aclosing(joined(call.run(), said)) as answer:
                    async for event in answer:
                        if isinstance(event, TextDelta):
                            pieces.append(event.text)
                        yield event
            except ProviderError as error:
                said = "".join(pieces)
                failures[side.ai] = error
                reason = error.kind
                if error.kind is FailureKind.CONTENT_FILTER or (said and not self._goes_on):
                    break
            else:
                return
        yield _end(said, failures)

    async def watch_keys(self) -> None:
        """Ask once whether the keys work, then for ever whether a bad one works again."""
        sides = [side for side in (self.llama, self.haiku) if side]
        for side in sides:
            side.circuit.key_checked(await side.provider.check_key())
        while True:
            await asyncio.sleep(KEY_RECHECK_S)
            for side in sides:
                if side.circuit.key_state in _BAD_KEY:
                    side.circuit.key_checked(await side.provider.check_key())

    async def aclose(self) -> None:
        """Close both providers' connections."""
        for side in (self.llama, self.haiku):
            if side:
                await side.provider.aclose()

    def _usable(self) -> list[Side]:
        return [s for s in ((None if self.force_haiku else self.llama), self.haiku) if s]

    def _plan(self, model: Model, *, has_tools: bool) -> tuple[list[Side], str | None]:
        """The sides to try, in order, and why the first is not the one asked for."""
        usable = self._usable()
        if model == "haiku":
            if self.haiku:
                return [self.haiku], None
            return usable, "haiku_not_configured" if usable else None
        if self.llama is None:
            return usable, "llama_not_configured"
        if self.force_haiku:
            return usable, "force_haiku"
        if has_tools and self.haiku:
            return [self.haiku], "tool_calling"
        return usable, None


def fold(events: Sequence[LLMEvent]) -> ChatResult:
    """The whole answer that a finished stream of events tells."""
    route = [event for event in events if isinstance(event, RouteChosen)][-1]
    finished = next(event for event in events if isinstance(event, Finished))
    return ChatResult(
        text="".join(event.text for event in events if isinstance(event, TextDelta)),
        ai_used=route.ai_used,
        model=finished.model,
        provider=route.provider,
        fallback_reason=route.fallback_reason,
        finish_reason=finished.finish_reason,
        usage=finished.usage,
        cost_usd=finished.cost_usd,
        saved_usd=finished.saved_usd,
        ttft_ms=finished.ttft_ms,
        tool_calls=[event for event in events if isinstance(event, ToolCall)],
    )


def _end(said: str, failures: dict[str, ProviderError]) -> Failed:
    """How a turn ends that no model finished. Raises where nothing had been said."""
    last = next(reversed(failures.values()), None)
    if last is not None and said:
        return Failed(last.kind, last.detail, said)
    if last is not None and last.kind is FailureKind.CONTENT_FILTER:
        raise last  # a refused prompt is not shopped around
    raise AnswerUnavailable("no model could answer", failures)


def _left_alone(side: Side) -> ProviderError:
    return ProviderError(
        FailureKind.CIRCUIT_OPEN,
        f"{side.provider.name} is left alone after failures",
        retry_after_s=side.circuit.retry_after_s,
    )
