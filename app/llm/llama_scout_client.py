"""The router: Llama 4 Scout first, Claude Haiku 4.5 when it cannot.

Before the first content a failed call is replaced, and only the reason in `RouteChosen`
shows it. After it Haiku continues the emitted text (docs/adr/003); where it cannot, the
answer ends in one `Failed`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from app.errors import FailureKind, ProviderError
from app.events import LLMEvent, Message, TextDelta
from app.llm.attempt import Attempt
from app.llm.budget import caller_name
from app.llm.calls import HEDGED, Calls
from app.llm.chat_result import ChatResult
from app.llm.circuit import Circuit
from app.llm.ledger import CANCELLED, HAIKU, LLAMA, SUCCESS, Ledger
from app.llm.pricing import PriceList
from app.llm.provider import ChatRequest, Prompt, PromptFor, Provider
from app.llm.special_tokens import escape_special_tokens
from app.llm.targets import ModelChoice, ModelTarget, Targets
from app.llm.timing import TimeLimits
from app.llm.tools import NO_TOOLS, Toolbox
from app.llm.turn import DEFAULT_MAX_TOKENS, CallOptions, RoutedCall, TurnContext

logger = structlog.stdlib.get_logger(__name__)


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
    def _targets(self) -> Targets:
        return Targets(self.llama, self.haiku, self.force_haiku)

    @property
    def _calls(self) -> Calls:
        return Calls(self._targets, self.ledger, self._limits, self._hedge_after_s)

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
        return self._targets.is_available()

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
            events = self._calls.open(call, target)
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
        targets, _ = self._targets.plan(options.model, has_tools=bool(options.toolbox.tools))
        request = ChatRequest(
            least.messages, least.system, options.max_tokens, toolbox=options.toolbox
        )
        refusals = [target.too_long(request) for target in targets]
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
            for target in self._targets.plan(context.model, has_tools=False)[0]
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
        await self._targets.watch_keys()

    async def aclose(self) -> None:
        """Close both providers' connections."""
        await self._targets.aclose()

    def _routed(
        self, prompt_for: PromptFor, options: CallOptions, context: TurnContext
    ) -> RoutedCall:
        model: ModelChoice = "haiku" if options.prefix else options.model
        targets, reason = self._targets.plan(model, has_tools=bool(options.toolbox.tools))
        if options.prefix:
            targets = [target for target in targets if target.ai == HAIKU]
        return RoutedCall(prompt_for, options, context, targets, reason)

    async def _next_target(self, call: RoutedCall) -> ModelTarget | None:
        """Return the model to call next, None when none is left; wait before another try."""
        if not call.waiting:
            return None
        target = call.waiting.popleft()
        if target.ai in call.failures and not await self._calls.wait_for_another_try(call, target):
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


def _reason_after(call: RoutedCall, target: ModelTarget) -> str | None:
    """Return why the model after `target` is called; another try of the last keeps its reason."""
    if not call.has_another(target):
        return call.reason
    # Where the target itself did not fail, its hedge won and then broke off.
    return call.failures[target.ai].kind if target.ai in call.failures else HEDGED
