"""One turn of a conversation: look up, ask the model, and answer without it if need be."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from app.chat.extractive import greet, quote
from app.chat.prompt import compose
from app.errors import AnswerUnavailable, IndexNotReady
from app.events import (
    Event,
    Finished,
    FinishReason,
    Message,
    Retrieved,
    RouteChosen,
    TextDelta,
    Usage,
)
from app.llm.llama_scout_client import DEFAULT_MAX_TOKENS, LlamaScoutClient, Model
from app.retrieval.knowledge_base import KnowledgeBase, SearchFilters, SearchResult

logger = structlog.get_logger(__name__)

EXTRACTIVE: Final = "extractive"
DEFAULT_TOP_K = 8


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller sent. The last of `messages` is the user's question."""

    messages: tuple[Message, ...]
    model: Model = "auto"
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    top_k: int = DEFAULT_TOP_K
    filters: SearchFilters | None = None


class ChatService:
    """Answers turns; holds no state of its own between them."""

    def __init__(
        self, knowledge_base: KnowledgeBase, client: LlamaScoutClient, *, extractive_fallback: bool
    ) -> None:
        self._knowledge_base = knowledge_base
        self._client = client
        self._extractive_fallback = extractive_fallback

    async def stream(self, turn: Turn, *, whole: bool = False) -> AsyncGenerator[Event]:
        """Yield the turn's events; with `whole`, the answer only once it is complete.

        Raises, before the first event that has content, `AnswerUnavailable` when
        nothing could answer and `ProviderError` when the model refused the content.
        """
        found, degraded = await self._search(turn)
        yield Retrieved(found.passages, degraded)
        system, messages = compose(turn.messages, found.passages)
        events = self._client.stream(
            messages, turn.model, turn.max_tokens, turn.temperature, system, whole=whole
        )
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except AnswerUnavailable as error:
            if not self._extractive_fallback:
                raise
            if not (found.passages or found.small_talk):
                message = f"{error}, and nothing was found to quote"
                raise AnswerUnavailable(message, error.failures) from error
            for extract in self._extract(found, error):
                yield extract

    async def _search(self, turn: Turn) -> tuple[SearchResult, bool]:
        question = turn.messages[-1].content
        try:
            found = await self._knowledge_base.search(question, turn.top_k, turn.filters)
        except IndexNotReady as error:
            logger.warning("answering without the knowledge base", reason=str(error))
            return SearchResult(passages=()), True
        return found, found.degraded

    def _extract(self, found: SearchResult, error: AnswerUnavailable) -> list[Event]:
        last = list(error.failures.values())[-1:]
        reason = last[0].kind if last else "no_ai_configured"
        logger.warning("answering without a model", reason=reason)
        text = quote(found.passages, found.language) if found.passages else greet(found.language)
        return [
            RouteChosen(EXTRACTIVE, EXTRACTIVE, "none", reason),
            TextDelta(text),
            Finished(FinishReason.STOP, EXTRACTIVE, Usage(0, 0), 0.0, None, None),
        ]
