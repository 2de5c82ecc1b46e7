"""One turn of a conversation: look up, ask the model, and answer without it if need be."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from app.chat.extractive import greet, quote
from app.chat.links import without_external_links
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
from app.llm.tools import NO_TOOLS, Toolbox
from app.llm.turn import DEFAULT_MAX_TOKENS, CallOptions, ModelChoice, TurnContext
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
    """What the application that asks tells the model, beside the service's own rules."""
    continue_from: str = ""
    """The beginning of the answer, where the caller has it already."""
    groups: frozenset[str] = frozenset({PUBLIC})
    """The caller's access groups."""
    toolbox: Toolbox = NO_TOOLS
    """The caller's own tools: their calls are handed back to it."""
    service_tools: tuple[ToolName, ...] = ()
    """The service's own tools that the model may use; the caller's are not, then."""

    @property
    def asked(self) -> tuple[Message, ...]:
        """The conversation up to the question."""
        return self.messages[: last_question(self.messages) + 1]


@dataclass(frozen=True, slots=True)
class Search:
    """One search, ended: the seconds it took, how many passages it found."""

    duration_s: float
    passages: int
    degraded: bool


SearchListener = Callable[[Search], None]
"""Is told of every search, in the task that made it; must neither block nor raise."""


class ChatService:
    """Answers turns; holds no state of its own between them."""

    def __init__(
        self, knowledge_base: KnowledgeBase, client: LlamaScoutClient, settings: Settings
    ) -> None:
        self.client = client
        """For who wants a model as it is, without passages."""
        self._knowledge_base = knowledge_base
        self._extractive_fallback = settings.extractive_fallback
        rewriter = QuestionRewriter(client, settings.rewriting_timeout_s)
        self._lookup = Lookup(knowledge_base, rewriter if settings.question_rewriting else None)
        self._passage_tokens = {
            LLAMA: settings.llama_passage_tokens,
            HAIKU: settings.haiku_passage_tokens,
        }
        self.search_listeners: list[SearchListener] = []

    def stream(self, turn: Turn, *, buffered: bool = False) -> AsyncGenerator[Event]:
        """Yield the turn's events; with `buffered`, the text only once the answer is complete.

        Raises:
            AnswerUnavailable: Nothing could answer. Before the first event with content only.
            ProviderError: The conversation itself is at fault. Before the same.
        """
        options = CallOptions(
            turn.model,
            turn.max_tokens,
            turn.temperature,
            turn.toolbox,
            buffered,
            turn.continue_from,
        )
        return without_external_links(self._events(turn, options), turn.continue_from)

    async def _events(self, turn: Turn, options: CallOptions) -> AsyncGenerator[Event]:
        started = time.perf_counter()
        # Before the search, which may have a model rewrite the question.
        least = Prompt(turn.messages[last_question(turn.messages) :], turn.instructions)
        self.client.check_room(least, options)
        context = self.client.begin(turn.model)
        found, degraded = await self._search(turn, context)
        search = Search(time.perf_counter() - started, len(found.passages), degraded)
        for listener in self.search_listeners:
            listener(search)
        yield Retrieved(found.passages, degraded)
        sections = await self._knowledge_base.sections(found.passages)
        loop = self._tool_loop(turn, found, context) if turn.service_tools else None
        prompts = self._prompts(turn, found, sections, loop)
        if loop:
            events = loop.run(prompts, options, may_quote=self._may_quote(found))
        else:
            events = self.client.route(prompts(()), options, context)
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except AnswerUnavailable as error:
            if turn.continue_from:
                raise  # a quotation goes on from nothing
            for extract in self._extract(found, error):
                yield loop.quoting(extract) if loop else extract

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
