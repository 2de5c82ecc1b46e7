"""A turn in which the model may use the service's own tools, in a bounded number of steps.

Each step is one call of a model. Its tool calls run at once and in parallel. The next step
gets their results inside a delimiter that is new for each turn: documents are untrusted.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog
from msgspec.structs import replace as replace_fields

from app.chat.service_tools import ServiceTools, ToolFailed
from app.chat.spending import Spent
from app.chat.tool_results import Ended, ToolResults
from app.errors import AnswerUnavailable, FailureKind, ProviderError
from app.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    LLMEvent,
    Message,
    Passage,
    RouteChosen,
    TextDelta,
    ToolCall,
    ToolRan,
)
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.provider import PromptFor
from app.llm.tools import Toolbox
from app.llm.turn import CallOptions, TurnContext

logger = structlog.stdlib.get_logger(__name__)

MAX_STEPS = 5
"""Calls of a model in one turn; in the last one it may use no tool any more."""
MAX_CALLS_A_STEP = 8
TOOL_LIMIT_S = 10.0

StepPrompt = Callable[[Sequence[Message]], PromptFor]
"""Makes the prompt of a step from what was called and returned since the question."""


@dataclass(slots=True)
class _Step:
    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finished: Finished | None = None


class ToolLoop:
    """One turn, with the passages that it has. `spent` and `emitted_text` add up its steps."""

    def __init__(
        self,
        client: LlamaScoutClient,
        tools: ServiceTools,
        passages: Sequence[Passage],
        context: TurnContext,
    ) -> None:
        self.spent = Spent()
        self.emitted_text = ""
        self._client = client
        self._tools = tools
        self._results = ToolResults(passages)
        self._context = context
        self._route: RouteChosen | None = None

    @property
    def rules(self) -> str:
        """The rules for the tools in the system prompt."""
        return self._results.rules

    async def run(
        self, prompt_for: StepPrompt, options: CallOptions, *, may_quote: bool
    ) -> AsyncGenerator[LLMEvent | ToolRan]:
        """Yield the turn's events, as those of one call.

        Where a later step gets no answer, the stream ends in `Failed`, unless the answer is
        buffered, or the service `may_quote` passages instead.

        Raises:
            AnswerUnavailable: As `LlamaScoutClient.route` does.
            ProviderError: As `LlamaScoutClient.route` does.
        """
        since: list[Message] = []
        try:
            for n in range(1, MAX_STEPS + 1):
                step = _Step()
                step_options = self._options(options, is_last=n == MAX_STEPS)
                events = self._client.route(prompt_for(since), step_options, self._context)
                async with aclosing(events):
                    async for event in events:
                        if shown := self._shown(event, step):
                            yield shown
                if step.finished is None:
                    return  # it broke off, and `Failed` was its last event
                self.emitted_text = join_paragraphs(self.emitted_text, step.text)
                self.spent.add(step.finished)
                if not step.calls or n == MAX_STEPS:
                    yield self._end(step.finished, cut_short=bool(step.calls))
                    return
                results = [self._results.reported(r) for r in await self._carried_out(step.calls)]
                for ran, _ in results:
                    yield ran
                returned = tuple(result for _, result in results)
                since.append(Message("assistant", step.text, tuple(step.calls)))
                since.append(Message("user", "", tool_results=returned))
        except (AnswerUnavailable, ProviderError) as error:
            quoted = may_quote and isinstance(error, AnswerUnavailable)
            if not self.spent.calls or options.buffered or quoted:
                raise
            yield Failed(_kind(error), str(error), self.emitted_text)

    def _options(self, options: CallOptions, *, is_last: bool) -> CallOptions:
        toolbox = Toolbox(self._tools.definitions, "none" if is_last else "auto")
        return replace(options, toolbox=toolbox, prefix="")

    def quoting(self, event: Event) -> Event:
        """Return an event of the extractive answer, after the text and cost of the steps."""
        match event:
            case TextDelta():
                return TextDelta(f"\n\n{event.text}") if self.emitted_text else event
            case Finished():
                self.spent.add(event)
                return self.spent.summed(event)
        return event

    def _shown(self, event: LLMEvent, step: _Step) -> LLMEvent | None:
        """Record a step's event; return what the caller sees of it."""
        match event:
            case RouteChosen():
                same = self._route is not None and self._route.ai_used == event.ai_used
                self._route = event
                return None if same else event
            case TextDelta():
                between = "\n\n" if self.emitted_text and not step.text else ""
                step.text += event.text
                return TextDelta(between + event.text)
            case ToolCall():
                step.calls.append(event)
            case Finished():
                step.finished = event
            case Failed():
                return replace_fields(
                    event,
                    partial_text=join_paragraphs(self.emitted_text, event.partial_text),
                    resumable=False,
                )
        return None

    def _end(self, last: Finished, *, cut_short: bool) -> Finished:
        if not self.emitted_text:
            assert self._route is not None, "a call that finished chose a route first"
            empty = ProviderError(FailureKind.EMPTY, "called tools to the last step")
            raise AnswerUnavailable("the model gave no answer", {self._route.ai_used: empty})
        reason = FinishReason.STOP if cut_short else last.finish_reason
        return replace_fields(self.spent.summed(last), finish_reason=reason)

    async def _carried_out(self, calls: Sequence[ToolCall]) -> list[Ended]:
        started = time.perf_counter()
        runs = await asyncio.gather(*(self._run(call) for call in calls[:MAX_CALLS_A_STEP]))
        refused = f"more than {MAX_CALLS_A_STEP} calls at once"
        runs += [Ended(call, None, refused, 0.0) for call in calls[MAX_CALLS_A_STEP:]]
        logger.info(
            "tools ran",
            tools=[call.name for call in calls],
            errors=[run.error for run in runs if run.error],
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
        )
        return runs

    async def _run(self, call: ToolCall) -> Ended:
        started = time.perf_counter()
        outcome, error = None, ""
        until = min(asyncio.get_running_loop().time() + TOOL_LIMIT_S, self._context.deadline)
        try:
            async with asyncio.timeout_at(until):
                outcome = await self._tools.run(call.name, call.arguments)
        except ToolFailed as failure:
            error = str(failure)
        except TimeoutError:
            error = f"took longer than {TOOL_LIMIT_S:g} s"
        return Ended(call, outcome, error, (time.perf_counter() - started) * 1000)


def _kind(error: AnswerUnavailable | ProviderError) -> str:
    if isinstance(error, ProviderError):
        return error.kind
    return next((failure.kind for failure in reversed(error.failures.values())), "unavailable")


def join_paragraphs(emitted: str, text: str) -> str:
    """Return the text of two steps, as paragraphs."""
    return "\n\n".join(filter(None, [emitted, text]))
