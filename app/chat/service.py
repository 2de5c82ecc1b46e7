"""One turn of a conversation: search, call a model, answer without one if none can."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from app.chat.extractive import greet, quote
from app.chat.links import EventLinkFilter
from app.chat.lookup import Lookup
from app.chat.packing import pack
from app.chat.prompt import TOOLS, compose, free_characters, last_question
from app.chat.rewriting import QuestionRewriter
from app.chat.service_tools import ServiceTools, ToolName
from app.chat.tool_loop import StepPrompt, ToolLoop
from app.errors import AnswerUnavailable, IndexNotReady
from app.events import (
    AiName,
    Event,
    Finished,
    FinishReason,
    Message,
    Passage,
    Retrieved,
    RouteChosen,
    Section,
    TextDelta,
    Usage,
)
from app.llm.ledger import HAIKU, LLAMA
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.provider import CHARACTERS_PER_TOKEN, Prompt, PromptFor
from app.llm.targets import ModelChoice
from app.llm.tools import NO_TOOLS, Toolbox
from app.llm.turn import DEFAULT_MAX_TOKENS, CallOptions, TurnContext
from app.retrieval.filters import SearchFilters
from app.retrieval.knowledge_base import KnowledgeBase, SearchResult
from app.retrieval.records import PUBLIC
from app.settings import Settings

logger = structlog.get_logger(__name__)

EXTRACTIVE: Final = "extractive"
DEFAULT_TOP_K = 12
"""Of 198 questions .88 find their answer in the first twelve passages (.73 in the first five)."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller sent.

    The last of `messages` is the user's question, or what the caller's tools returned since.
    """

    messages: tuple[Message, ...]
    model: ModelChoice = "auto"
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    top_k: int = DEFAULT_TOP_K
    filters: SearchFilters | None = None
    instructions: str | None = None
    """The calling application's instructions to the model, in addition to the service's own."""
    continue_from: str = ""
    """The beginning of the answer, where the caller has it already."""
    groups: frozenset[str] = frozenset({PUBLIC})
    """The caller's access groups."""
    toolbox: Toolbox = NO_TOOLS
    """The caller's own tools: their calls are returned to it."""
    service_tools: tuple[ToolName, ...] = ()
    """The service's own tools that the model may use, instead of the caller's."""

    @property
    def asked(self) -> tuple[Message, ...]:
        """The conversation up to the question."""
        return self.messages[: last_question(self.messages) + 1]

    def options(self, *, buffered: bool) -> CallOptions:
        """Return how the model is to answer."""
        return CallOptions(
            self.model,
            self.max_tokens,
            self.temperature,
            self.toolbox,
            buffered,
            self.continue_from,
        )


@dataclass(frozen=True, slots=True)
class Search:
    """One finished search: its seconds, and how many passages it found."""

    duration_s: float
    passages: int
    degraded: bool


SearchListener = Callable[[Search], None]
"""Receives every search, in the task that made it; must neither block nor raise."""

BeforeEnd = Callable[[str], Awaitable[None]]


class ChatService:
    """Answer turns; hold no state between them."""

    def __init__(
        self, knowledge_base: KnowledgeBase, client: LlamaScoutClient, settings: Settings
    ) -> None:
        self.client = client
        """For routes that call a model without passages."""
        self._knowledge_base = knowledge_base
        self._extractive_fallback = settings.extractive_fallback
        rewriter = QuestionRewriter(client, settings.rewriting_timeout_s)
        self._lookup = Lookup(knowledge_base, rewriter if settings.question_rewriting else None)
        self._passage_tokens = {
            LLAMA: settings.llama_passage_tokens,
            HAIKU: settings.haiku_passage_tokens,
        }
        self.search_listeners: list[SearchListener] = []

    async def stream(
        self, turn: Turn, *, buffered: bool = False, before_end: BeforeEnd | None = None
    ) -> AsyncGenerator[Event]:
        """Yield the turn's events.

        Args:
            turn: What to answer.
            buffered: Whether the text comes only once the answer is complete.
            before_end: Is awaited with the complete answer before `Finished` is yielded.

        Raises:
            AnswerUnavailable: Nothing could answer. Before the first event with content only.
            ProviderError: The conversation itself is at fault. Before the same.
        """
        links = EventLinkFilter(turn.continue_from)
        options = turn.options(buffered=buffered)
        context = self._begin(turn, options)
        found, degraded = await self._search(turn, context)
        for passed in links.take(Retrieved(found.passages, degraded)):
            yield passed
        loop = self._tool_loop(turn, found, context) if turn.service_tools else None
        try:
            async with aclosing(await self._answer(turn, found, loop, options, context)) as events:
                async for event in events:
                    for passed in links.take(event):
                        if before_end and isinstance(passed, Finished):
                            await before_end(links.text)
                        yield passed
        except AnswerUnavailable as error:
            if turn.continue_from:
                raise  # a quotation continues nothing
            for extract in self._extract(found, error):
                for passed in links.take(loop.quoting(extract) if loop else extract):
                    if before_end and isinstance(passed, Finished):
                        await before_end(links.text)
                    yield passed

    def _begin(self, turn: Turn, options: CallOptions) -> TurnContext:
        # Before the search, which may call a model to rewrite the question.
        least = Prompt(turn.messages[last_question(turn.messages) :], turn.instructions)
        self.client.check_room(least, options)
        return self.client.begin(turn.model)

    async def _answer(
        self,
        turn: Turn,
        found: SearchResult,
        loop: ToolLoop | None,
        options: CallOptions,
        context: TurnContext,
    ) -> AsyncGenerator[Event]:
        """Return the events of the models' answer."""
        sections = await self._knowledge_base.sections(found.passages)
        prompts = self._prompts(turn, found, sections, loop)
        if loop:
            return loop.run(prompts, options, may_quote=self._may_quote(found))
        return self.client.route(prompts(()), options, context)

    def _prompts(
        self,
        turn: Turn,
        found: SearchResult,
        sections: Mapping[int, Section],
        loop: ToolLoop | None,
    ) -> StepPrompt:
        rules = loop.rules if loop else TOOLS if turn.toolbox.tools else None

        def prompt_for(since: Sequence[Message]) -> PromptFor:
            extended = replace(turn, messages=(*turn.messages, *since))
            return partial(self._prompt, extended, found.passages, sections, rules)

        return prompt_for

    def _tool_loop(self, turn: Turn, found: SearchResult, context: TurnContext) -> ToolLoop:
        filters = turn.filters or SearchFilters()
        tools = ServiceTools(self._knowledge_base, turn.service_tools, filters, turn.groups)
        return ToolLoop(self.client, tools, found.passages, context)

    def _prompt(
        self,
        turn: Turn,
        passages: Sequence[Passage],
        sections: Mapping[int, Section],
        tool_rules: str | None,
        ai: AiName,
        tokens: int,
    ) -> Prompt:
        """Whole sections for Llama, at a tenth of the price; for Haiku the best passages alone."""
        last = turn.messages[last_question(turn.messages) :]
        room = free_characters(last, tokens, turn.instructions, tool_rules)
        # Half of what a small window leaves is the conversation's.
        budget = min(self._passage_tokens[ai] * CHARACTERS_PER_TOKEN, room // 2)
        extracts = pack(passages, sections if ai == LLAMA else {}, budget)
        return compose(turn.messages, extracts, tokens, turn.instructions, tool_rules)

    async def _search(self, turn: Turn, context: TurnContext) -> tuple[SearchResult, bool]:
        started = time.perf_counter()
        found, degraded = await self._found(turn, context)
        search = Search(time.perf_counter() - started, len(found.passages), degraded)
        for listener in self.search_listeners:
            listener(search)
        return found, degraded

    async def _found(self, turn: Turn, context: TurnContext) -> tuple[SearchResult, bool]:
        try:
            found = await self._lookup.find(
                turn.asked, turn.top_k, turn.filters, turn.groups, context
            )
        except IndexNotReady as error:
            logger.warning("answering without the knowledge base", reason=str(error))
            return SearchResult(passages=()), True
        return found, found.degraded

    def _may_quote(self, found: SearchResult) -> bool:
        return self._extractive_fallback and bool(found.passages or found.small_talk)

    def _extract(self, found: SearchResult, error: AnswerUnavailable) -> list[Event]:
        """The answer without a model. Raises `error` where none may be given."""
        if not self._extractive_fallback:
            raise error
        if not self._may_quote(found):
            message = f"{error}, and nothing was found to quote"
            raise AnswerUnavailable(message, error.failures) from error
        last = list(error.failures.values())[-1:]
        reason = last[0].kind if last else "no_ai_configured"
        logger.warning("answering without a model", reason=reason)
        text = quote(found.passages, found.language) if found.passages else greet(found.language)
        return [
            RouteChosen(EXTRACTIVE, EXTRACTIVE, "none", reason),
            TextDelta(text),
            Finished(FinishReason.STOP, EXTRACTIVE, Usage(0, 0), 0.0, None, None),
        ]
