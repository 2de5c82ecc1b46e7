"""The router: Llama 4 Scout first, Claude Haiku 4.5 when it cannot.

Before the first content a failed call is replaced and the caller never knows,
but for the reason in `RouteChosen`. After it Haiku goes on from the words that
were said (docs/adr/003); where that cannot be, the answer ends in one `Failed`.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import structlog

from app.errors import FailureKind, ProviderError
from app.events import LLMEvent, Message, TextDelta
from app.llm.attempt import Attempt, ModelTarget
from app.llm.budget import caller_name
from app.llm.chat_result import ChatResult, fold
from app.llm.circuit import Circuit
from app.llm.hedge import hedged
from app.llm.ledger import CANCELLED, HAIKU, LLAMA, SUCCESS, Ledger
from app.llm.pricing import PriceList
from app.llm.provider import ChatRequest, KeyState, Prompt, PromptFor, Provider
from app.llm.special_tokens import escape_special_tokens
from app.llm.timing import TimeLimits
from app.llm.tools import NO_TOOLS, Toolbox
from app.llm.turn import THE_REQUESTS_OWN, ModelChoice, RoutedCall, TurnContext

logger = structlog.stdlib.get_logger(__name__)

KEY_RECHECK_S = 30.0
DEFAULT_MAX_TOKENS = 2048
HEDGED = "hedged"
KEPT_FOR_THE_NEXT = 1 / 3
"""The part of the total limit that a model leaves to the one behind it."""

_PASSING = {
    FailureKind.OVERLOADED,
    FailureKind.SERVER,
    FailureKind.RATE_LIMIT,
    FailureKind.CONNECTION,
    FailureKind.PROTOCOL,
    FailureKind.EMPTY,
}
_BAD_KEY = (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)


class LlamaScoutClient:
    """Routes a conversation to a model. Either target may be missing."""

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
        hedge_after_s: float = 0.0,
        llama_context_tokens: int = 131_072,
        haiku_context_tokens: int = 200_000,
        daily_limit_usd: float | None = None,
    ) -> None:
        self.force_haiku = force_haiku
        self.ledger = Ledger(prices or PriceList(), haiku_model, daily_limit_usd)
        self.llama = self.haiku = None
        if llama:
            circuit = Circuit(enabled=circuit_breaker)
            self.llama = ModelTarget(LLAMA, llama, circuit, llama_context_tokens)
        if haiku:
            circuit = Circuit(enabled=circuit_breaker)
            self.haiku = ModelTarget(HAIKU, haiku, circuit, haiku_context_tokens)
        self._limits = limits or TimeLimits()
        self._goes_on = continue_mid_answer
        self._hedge_after_s = hedge_after_s
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
        """Answer whole: the fold of `stream`, which may start over on Haiku at any moment.

        Raises `AnswerUnavailable` when no model answered, `ProviderError` when
        the fault is the conversation's own: refused, too long, not understood.
        """
        stream = self.stream(messages, model, max_tokens, temperature, system, toolbox, whole=True)
        async with aclosing(stream):
            return fold([event async for event in stream])

    def stream(
        self,
        messages: Sequence[Message],
        model: ModelChoice = "llama-scout",
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float | None = None,
        system: str | None = None,
        toolbox: Toolbox = NO_TOOLS,
        *,
        whole: bool = False,
        said: str = "",
    ) -> AsyncGenerator[LLMEvent]:
        """Yield the answer as it comes; with `whole`, its text only once it is complete.

        Takes `said` and raises as `route` does.
        """
        prompt = Prompt(messages, system)
        return self.route(
            lambda *_: prompt, model, max_tokens, temperature, toolbox, whole=whole, said=said
        )

    async def route(
        self,
        prompt_for: PromptFor,
        model: ModelChoice,
        max_tokens: int,
        temperature: float | None,
        toolbox: Toolbox = NO_TOOLS,
        *,
        whole: bool,
        context: TurnContext | None = None,
        said: str = "",
    ) -> AsyncGenerator[LLMEvent]:
        """As `stream`, with a prompt made for whichever model is about to read it.

        `context` is the turn that this answers; without it one begins. `said` is the beginning
        of the answer, where the caller has it already: Haiku goes on from it.

        Raises, before the first event only, `AnswerUnavailable` when no model
        answered and `ProviderError` when the fault is the conversation's own.
        """
        targets, reason = self._plan("haiku" if said else model, has_tools=bool(toolbox.tools))
        if said:
            targets = [target for target in targets if target.ai == HAIKU]
        context = context or self.begin(model)
        turn = RoutedCall(
            prompt_for, max_tokens, temperature, toolbox, targets, context, whole, said
        )
        # The last one has nobody behind it, so it may be asked once more.
        waiting = deque([*targets, *targets[-1:]])
        while waiting:
            target = waiting.popleft()
            if target.ai in turn.failures and not await self._worth_another_try(turn, target):
                break
            if target.ai == HAIKU and LLAMA in turn.failures and HAIKU not in turn.failures:
                self.ledger.fallback_kinds[turn.failures[LLAMA].kind] += 1
                logger.warning("   Falling back to Haiku 4.5...", reason=reason)
            events = self._call(turn, target, reason)
            if events is None:
                reason = self._reason_after(turn, target, reason)
                continue
            if target.ai == LLAMA and self._hedge_after_s and self.haiku in targets:
                events = self._hedged(turn, events)
            said_before = turn.said
            try:
                async with aclosing(events) as answer:
                    async for event in answer:
                        if isinstance(event, TextDelta):
                            turn.said += event.text
                        yield event
            except ProviderError as error:
                turn.spoke_last = turn.said != said_before
                reason = self._reason_after(turn, target, reason)
                broke_off = turn.said != said
                if error.kind is FailureKind.CONTENT_FILTER or (broke_off and not self._goes_on):
                    break
                if target.ai == LLAMA and turn.hedge_lost(LLAMA) and not turn.said:
                    # It was well, and given up for a Haiku that then failed.
                    waiting.appendleft(target)
            else:
                if target.ai == LLAMA and turn.hedge_lost(LLAMA):
                    self.ledger.fallback_kinds[HEDGED] += 1
                elif target.ai == LLAMA and LLAMA in turn.failures:  # its hedge answered
                    self.ledger.fallback_kinds[turn.failures[LLAMA].kind] += 1
                return
        self.ledger.unanswered += not turn.is_refused
        yield turn.end()

    def begin(self, model: ModelChoice) -> TurnContext:
        """Begin a turn, with the total limit for all its calls; it is counted."""
        self.ledger.turns += 1
        return TurnContext(asyncio.get_running_loop().time() + self._limits.total_s, model)

    def check_room(
        self, least: Prompt, model: ModelChoice, max_tokens: int, toolbox: Toolbox
    ) -> None:
        """Raises `ProviderError` where not even so much fits any model that would be asked."""
        targets, _ = self._plan(model, has_tools=bool(toolbox.tools))
        request = ChatRequest(least.messages, least.system, max_tokens, toolbox=toolbox)
        refusals = [_too_long(request, target) for target in targets]
        if refusals and (refusal := refusals[-1]) and all(refusals):
            raise refusal

    async def ask_aside(
        self, prompt: Prompt, max_tokens: int, limit_s: float, context: TurnContext
    ) -> str | None:
        """A short answer for the service's own use, of the turn's first model not left alone.

        Costed like any call. None when it failed or took longer than `limit_s`
        seconds: nobody stands behind it. Who said nothing is noted in `context`.
        """
        permits = (
            (target, target.circuit.try_acquire(caller_name()))
            for target in self._plan(context.model, has_tools=False)[0]
        )
        target, permit = next(((s, p) for s, p in permits if p), (None, None))
        if target is None or permit is None:
            return None
        asked = escape_special_tokens(prompt)
        request = ChatRequest(asked.messages, asked.system, max_tokens, temperature=0.0)
        # The limit is the attempt's own, so that a model that hangs has failed, and its
        # circuit knows of it.
        deadline = asyncio.get_running_loop().time() + limit_s
        attempt = Attempt(
            target, request, permit, self.ledger, self._limits, deadline, whole=True, aside=True
        )
        try:
            async with aclosing(attempt.run()) as events:
                texts = [event.text async for event in events if isinstance(event, TextDelta)]
        except ProviderError as error:
            of_the_request = THE_REQUESTS_OWN | {FailureKind.CONTENT_FILTER}
            if error.kind.is_timeout and not attempt.spoke:
                context.waited_s[target.ai] = limit_s
            elif not attempt.spoke and error.kind not in of_the_request:
                context.failed[target.ai] = error
            return None
        return "".join(texts)

    async def watch_keys(self) -> None:
        """Ask whether the keys work, and again for ever of those that are not known to."""
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

    def _call(
        self, turn: RoutedCall, target: ModelTarget, reason: str | None
    ) -> AsyncGenerator[LLMEvent] | None:
        """The events of one call, or None with the failure noted where none may be made."""
        request = turn.request_for(target)
        if too_long := _too_long(request, target):
            turn.failures[target.ai] = too_long
            return None
        has_another = target is not turn.targets[-1]
        if has_another and (failed := turn.context.failed.get(target.ai)):
            turn.failures[target.ai] = failed
            return None
        permit = target.circuit.try_acquire(caller_name())
        if permit is None:
            turn.failures[target.ai] = ProviderError(
                FailureKind.CIRCUIT_OPEN,
                f"{target.provider.name} is left alone after failures",
                retry_after_s=target.circuit.retry_after_s_for(caller_name()) or None,
            )
            return None
        kept = self._limits.total_s * KEPT_FOR_THE_NEXT if has_another else 0.0
        waited_s = turn.context.waited_s.get(target.ai, 0.0) if has_another else 0.0
        limits = self._limits.for_prompt(request.characters)
        if waited_s:
            left_s = max(0.0, limits.first_content_s - waited_s)
            limits = replace(limits, first_content_s=left_s)
        turn.asked_at.setdefault(target.ai, []).append(asyncio.get_running_loop().time())
        attempt = turn.attempts[target.ai] = Attempt(
            target,
            request,
            permit,
            self.ledger,
            limits,
            turn.context.deadline - kept,
            reason,
            turn.whole,
            on_failure=partial(turn.failures.__setitem__, target.ai),
        )
        return attempt.run()

    def _hedged(
        self, turn: RoutedCall, events: AsyncGenerator[LLMEvent]
    ) -> AsyncGenerator[LLMEvent]:
        """Llama's events, or Haiku's where Llama is late; one race a turn."""
        primary = turn.attempts[LLAMA]

        def backup() -> AsyncGenerator[LLMEvent] | None:
            assert self.haiku is not None, "only hedged where Haiku is there"
            return None if HAIKU in turn.failures else self._call(turn, self.haiku, HEDGED)

        def hedge_lost() -> None:
            primary.hedge_lost = LLAMA not in turn.failures

        return hedged(events, backup, self._hedge_after_s, hedge_lost)

    async def _worth_another_try(self, turn: RoutedCall, target: ModelTarget) -> bool:
        """Wait for, and allow, a second call where the failure passes within the limit."""
        failure, asked_at = turn.failures[target.ai], turn.asked_at.get(target.ai, [])
        if turn.spoke_last or failure.kind not in _PASSING or len(asked_at) != 1:
            return False
        jitter = random.uniform(0.1, 0.4)  # noqa: S311 - spreads load, guards nothing
        circuit_s = target.circuit.retry_after_s_for(caller_name())
        wait = max(circuit_s, failure.retry_after_s or 0.0) + jitter
        now = asyncio.get_running_loop().time()
        if now + wait > min(asked_at[0] + self._limits.first_content_s, turn.context.deadline):
            return False
        await asyncio.sleep(wait)
        return True

    def _reason_after(
        self, turn: RoutedCall, target: ModelTarget, reason: str | None
    ) -> str | None:
        """Why the model after `target` is called; another try of the last has the reason it had."""
        if target is turn.targets[-1]:
            return reason
        # Where the target itself did not fail, its hedge had won, and broke off.
        return turn.failures[target.ai].kind if target.ai in turn.failures else HEDGED

    def _usable(self) -> list[ModelTarget]:
        return [s for s in ((None if self.force_haiku else self.llama), self.haiku) if s]

    def _plan(self, model: ModelChoice, *, has_tools: bool) -> tuple[list[ModelTarget], str | None]:
        """The targets to try, in order, and why the first is not the one asked for."""
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
