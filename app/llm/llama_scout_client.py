"""The router: Llama 4 Scout first, Claude Haiku 4.5 when it cannot.

Before the first content a failed call is replaced, and only the reason in `RouteChosen`
shows it. After it Haiku continues the emitted text (docs/adr/003); where it cannot, the
answer ends in one `Failed`.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from functools import partial

import structlog

from app.errors import FailureKind, ProviderError
from app.events import LLMEvent, Message, TextDelta
from app.llm.attempt import Attempt, ModelTarget
from app.llm.budget import caller_name
from app.llm.chat_result import ChatResult
from app.llm.circuit import Circuit, Permit
from app.llm.hedge import hedged
from app.llm.ledger import CANCELLED, HAIKU, LLAMA, SUCCESS, Ledger
from app.llm.pricing import PriceList
from app.llm.provider import ChatRequest, KeyState, Prompt, PromptFor, Provider
from app.llm.special_tokens import escape_special_tokens
from app.llm.timing import TimeLimits
from app.llm.tools import NO_TOOLS, Toolbox
from app.llm.turn import DEFAULT_MAX_TOKENS, CallOptions, ModelChoice, RoutedCall, TurnContext

logger = structlog.stdlib.get_logger(__name__)

OpenEvents = AbstractAsyncContextManager[AsyncIterator[LLMEvent]]

KEY_RECHECK_S = 30.0
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
_BAD_KEY = (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)


@dataclass(frozen=True, slots=True)
class RoutingOptions:
    """How calls are routed, for all turns.

    Attributes:
        limits: The time limits of each call, and of a turn.
        circuit_breaker: Whether failures open a model's circuit.
        continue_mid_answer: Whether Haiku continues an answer that broke off.
        hedge_after_s: Seconds without content after which Haiku is called too; 0 for never.
        llama_context_tokens: Llama's window.
        haiku_context_tokens: Haiku's window.
    """

    limits: TimeLimits = field(default_factory=TimeLimits)
    circuit_breaker: bool = True
    continue_mid_answer: bool = True
    hedge_after_s: float = 0.0
    llama_context_tokens: int = 131_072
    haiku_context_tokens: int = 200_000


class LlamaScoutClient:
    """Route a conversation to a model. Either model may be missing."""

    def __init__(
        self,
        llama: Provider | None = None,
        haiku: Provider | None = None,
        options: RoutingOptions | None = None,
        ledger: Ledger | None = None,
        *,
        force_haiku: bool = False,
    ) -> None:
        options = options or RoutingOptions()
        self.ledger = ledger or Ledger(PriceList(), "claude-haiku-4-5")
        self.force_haiku = force_haiku
        self.llama = self.haiku = None
        if llama:
            circuit = Circuit(enabled=options.circuit_breaker)
            self.llama = ModelTarget(LLAMA, llama, circuit, options.llama_context_tokens)
        if haiku:
            circuit = Circuit(enabled=options.circuit_breaker)
            self.haiku = ModelTarget(HAIKU, haiku, circuit, options.haiku_context_tokens)
        self._limits = options.limits
        self._continues = options.continue_mid_answer
        self._hedge_after_s = options.hedge_after_s
        if llama is not None:
            logger.info("✅ Llama 4 Scout client initialized", model=llama.model)

    @property
    def metrics(self) -> dict[str, float]:
        """The guide's four metrics, since the start of the process."""
        succeeded = self.ledger.outcomes[LLAMA, SUCCESS]
        left = self.ledger.outcomes[LLAMA, CANCELLED]
        return {
            "llama_success": succeeded,
            "llama_failures": self.ledger.calls(LLAMA) - succeeded - left,
            "haiku_fallbacks": self.ledger.fallbacks,
            "total_cost_saved": self.ledger.saved_usd,
        }

    def is_available(self) -> bool:
        """Whether any model could be called now, by what is known of the keys."""
        return any(target.circuit.key_state not in _BAD_KEY for target in self._usable())

    async def chat_async(
        self,
        messages: Sequence[Message],
        model: ModelChoice = "llama-scout",
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float | None = None,
        system: str | None = None,
        toolbox: Toolbox = NO_TOOLS,
    ) -> ChatResult:
        """Return the complete answer; until then any failure may move it to Haiku.

        Raises:
            AnswerUnavailable: No model answered.
            ProviderError: The conversation itself is refused, too long or malformed.
        """
        options = CallOptions(model, max_tokens, temperature, toolbox, buffered=True)
        async with aclosing(self.stream(messages, options, system)) as stream:
            return ChatResult.from_events([event async for event in stream])

    def stream(
        self,
        messages: Sequence[Message],
        options: CallOptions = CallOptions(),  # noqa: B008 - frozen
        system: str | None = None,
    ) -> AsyncGenerator[LLMEvent]:
        """Yield the answer's events as they come. Raises as `route` does."""
        prompt = Prompt(messages, system)
        return self.route(lambda *_: prompt, options)

    async def route(
        self, prompt_for: PromptFor, options: CallOptions, context: TurnContext | None = None
    ) -> AsyncGenerator[LLMEvent]:
        """Yield the answer's events, from the first model that can answer.

        Args:
            prompt_for: Makes the prompt for the model that is about to read it.
            options: How to answer; an answer with a `prefix` is continued by Haiku alone.
            context: The turn that this answers; without it a turn starts.

        Raises:
            AnswerUnavailable: No model answered. Before the first event only.
            ProviderError: The conversation itself is at fault. Before the first event only.
        """
        call = self._routed(prompt_for, options, context or self.begin(options.model))
        while (target := await self._next_target(call)) is not None:
            events = self._events(call, target)
            if events is None:
                call.reason = _reason_after(call, target)
                continue
            emitted_before = call.emitted_text
            try:
                async with events as answer:
                    async for event in answer:
                        if isinstance(event, TextDelta):
                            call.emitted_text += event.text
                        yield event
            except ProviderError as error:
                call.spoke_last = call.emitted_text != emitted_before
                if not self._may_go_on(call, target, error):
                    break
            else:
                self._count_hedge(call, target)
                return
        if not call.is_refused:
            self.ledger.turn_unanswered()
        yield call.end()

    def begin(self, model: ModelChoice) -> TurnContext:
        """Start and count a turn, with the total limit for all its calls."""
        self.ledger.turn_started()
        return TurnContext(asyncio.get_running_loop().time() + self._limits.total_s, model)

    def check_room(self, least: Prompt, options: CallOptions) -> None:
        """Check that the shortest form of the prompt fits a model that would be called.

        Raises:
            ProviderError: It fits none of them.
        """
        targets, _ = self._plan(options.model, has_tools=bool(options.toolbox.tools))
        request = ChatRequest(
            least.messages, least.system, options.max_tokens, toolbox=options.toolbox
        )
        refusals = [_too_long(request, target) for target in targets]
        if refusals and (refusal := refusals[-1]) and all(refusals):
            raise refusal

    async def call_auxiliary(
        self, prompt: Prompt, max_tokens: int, limit_s: float, context: TurnContext
    ) -> str | None:
        """Return a short answer for the service's own use, without a fallback.

        The turn's first model with a closed circuit is called, and costed like any call.
        A failure without text is noted in `context`.

        Returns:
            The text; None when the call failed or took longer than `limit_s` seconds.
        """
        permits = (
            (target, target.circuit.try_acquire(caller_name()))
            for target in self._plan(context.model, has_tools=False)[0]
        )
        target, permit = next(((t, p) for t, p in permits if p), (None, None))
        if target is None or permit is None:
            return None
        escaped = escape_special_tokens(prompt)
        request = ChatRequest(escaped.messages, escaped.system, max_tokens, temperature=0.0)
        # The limit is the attempt's own, so that the circuit counts a model that hangs as failed.
        attempt = Attempt(
            target,
            request,
            permit,
            self.ledger,
            self._limits,
            deadline=asyncio.get_running_loop().time() + limit_s,
            buffered=True,
            purpose="rewrite",
        )
        try:
            async with aclosing(attempt.run()) as events:
                return "".join([e.text async for e in events if isinstance(e, TextDelta)])
        except ProviderError as error:
            if not attempt.spoke:
                context.note_failure(target.ai, error, limit_s)
            return None

    async def watch_keys(self) -> None:
        """Check the keys, and check those again that are not known to be valid; never returns."""
        asked = [target for target in (self.llama, self.haiku) if target]
        while True:
            # Both at once: the first check of Haiku's also loads its SDK.
            checks = await asyncio.gather(*map(_check_key, asked), return_exceptions=True)
            for target, error in zip(asked, checks, strict=True):
                if error is not None:  # a bug of ours; the other key is watched all the same
                    logger.error("a key could not be checked", ai=target.ai, exc_info=error)
            await asyncio.sleep(KEY_RECHECK_S)
            asked = [
                target
                for target in (self.llama, self.haiku)
                if target and target.circuit.key_state is not KeyState.VALID
            ]

    async def aclose(self) -> None:
        """Close both providers' connections."""
        for target in (self.llama, self.haiku):
            if target:
                await target.provider.aclose()

    def _routed(
        self, prompt_for: PromptFor, options: CallOptions, context: TurnContext
    ) -> RoutedCall:
        model: ModelChoice = "haiku" if options.prefix else options.model
        targets, reason = self._plan(model, has_tools=bool(options.toolbox.tools))
        if options.prefix:
            targets = [target for target in targets if target.ai == HAIKU]
        return RoutedCall(prompt_for, options, context, targets, reason)

    async def _next_target(self, call: RoutedCall) -> ModelTarget | None:
        """Return the model to call next, None when none is left; wait before another try."""
        if not call.waiting:
            return None
        target = call.waiting.popleft()
        if target.ai in call.failures and not await self._worth_another_try(call, target):
            return None
        if target.ai == HAIKU and LLAMA in call.failures and HAIKU not in call.failures:
            self.ledger.fell_back(call.failures[LLAMA].kind)
            logger.warning("   Falling back to Haiku 4.5...", reason=call.reason)
        return target

    def _may_go_on(self, call: RoutedCall, target: ModelTarget, error: ProviderError) -> bool:
        """Whether another model may be called after `error`."""
        call.reason = _reason_after(call, target)
        broke_off = call.emitted_text != call.options.prefix
        if error.kind is FailureKind.CONTENT_FILTER or (broke_off and not self._continues):
            return False
        if target.ai == LLAMA and call.hedge_lost(LLAMA) and not call.emitted_text:
            # Llama was healthy, and was closed for a Haiku that then failed.
            call.waiting.appendleft(target)
        return True

    def _count_hedge(self, call: RoutedCall, target: ModelTarget) -> None:
        """Count the fallback of an answer that Llama's hedge gave."""
        if target.ai != LLAMA:
            return
        if call.hedge_lost(LLAMA):
            self.ledger.fell_back(HEDGED)
        elif LLAMA in call.failures:
            self.ledger.fell_back(call.failures[LLAMA].kind)

    def _events(self, call: RoutedCall, target: ModelTarget) -> OpenEvents | None:
        """Return what opens one call, hedged where that is set; None where none is made."""
        attempt = self._attempt(call, target, call.reason)
        if attempt is None:
            return None
        if target.ai == LLAMA and self._hedge_after_s and self.haiku in call.targets:
            return self._hedged(call, attempt)
        return aclosing(attempt.run())

    def _attempt(self, call: RoutedCall, target: ModelTarget, reason: str | None) -> Attempt | None:
        """Return the next call of `target`, or None with the failure noted where none is made."""
        request = call.request_for(target)
        permit = self._permit(call, target, request)
        if permit is None:
            return None
        limits = self._limits.for_prompt(request.characters)
        reserved_s = 0.0
        if call.has_another(target):
            reserved_s = self._limits.total_s * RESERVED_FOR_THE_NEXT
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
        failure = _too_long(request, target)
        if failure is None and call.has_another(target):
            failure = call.context.failed.get(target.ai)
        permit = None if failure else target.circuit.try_acquire(caller_name())
        if permit is None:
            call.failures[target.ai] = failure or ProviderError(
                FailureKind.CIRCUIT_OPEN,
                f"{target.provider.name} is left alone after failures",
                retry_after_s=target.circuit.retry_after_s_for(caller_name()) or None,
            )
        return permit

    def _hedged(self, call: RoutedCall, primary: Attempt) -> OpenEvents:
        """Return what opens Llama's events, or Haiku's where Llama is late; one race a turn."""

        def backup() -> AsyncGenerator[LLMEvent] | None:
            assert self.haiku is not None, "only hedged where Haiku is configured"
            if HAIKU in call.failures:
                return None
            attempt = self._attempt(call, self.haiku, HEDGED)
            return attempt.run() if attempt else None

        def hedge_lost() -> None:
            primary.hedge_lost = LLAMA not in call.failures

        return hedged(primary.run(), backup, self._hedge_after_s, hedge_lost)

    async def _worth_another_try(self, call: RoutedCall, target: ModelTarget) -> bool:
        """Wait for, and allow, a second call where the failure passes within the limit."""
        failure, called_at = call.failures[target.ai], call.called_at.get(target.ai, [])
        if call.spoke_last or failure.kind not in _PASSING or len(called_at) != 1:
            return False
        jitter = random.uniform(0.1, 0.4)  # noqa: S311 - spreads load, guards nothing
        circuit_s = target.circuit.retry_after_s_for(caller_name())
        wait = max(circuit_s, failure.retry_after_s or 0.0) + jitter
        now = asyncio.get_running_loop().time()
        if now + wait > min(called_at[0] + self._limits.first_content_s, call.context.deadline):
            return False
        await asyncio.sleep(wait)
        return True

    def _usable(self) -> list[ModelTarget]:
        return [s for s in ((None if self.force_haiku else self.llama), self.haiku) if s]

    def _plan(self, model: ModelChoice, *, has_tools: bool) -> tuple[list[ModelTarget], str | None]:
        """Return the models to try, in order, and why the first is not the requested one."""
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


def _reason_after(call: RoutedCall, target: ModelTarget) -> str | None:
    """Return why the model after `target` is called; another try of the last keeps its reason."""
    if not call.has_another(target):
        return call.reason
    # Where the target itself did not fail, its hedge won and then broke off.
    return call.failures[target.ai].kind if target.ai in call.failures else HEDGED


def _too_long(request: ChatRequest, target: ModelTarget) -> ProviderError | None:
    excess = request.estimated_tokens - target.context_tokens
    if excess <= 0:
        return None
    return ProviderError(
        FailureKind.CONTEXT_LENGTH,
        f"the conversation is about {excess} tokens over the window of {target.ai}, "
        f"{target.context_tokens} tokens",
    )


async def _check_key(target: ModelTarget) -> None:
    before = target.circuit.key_state
    target.circuit.key_checked(await target.provider.check_key())
    known = target.circuit.key_state
    if known is not before and known in _BAD_KEY:
        logger.warning(f"🔑 The key of {target.ai} is not usable", key=known)
