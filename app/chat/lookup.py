"""Find the passages for the last question of a conversation."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType

from app.chat.rewriting import (
    QuestionRewriter,
    depends_on_history,
    is_short,
    with_the_question_before,
)
from app.events import Message
from app.llm.turn import TurnContext
from app.retrieval.filters import SearchFilters
from app.retrieval.knowledge_base import KnowledgeBase, SearchResult
from app.retrieval.language import soon_question_language

Rewriting = asyncio.Task[dict[str, str]]


class Lookup:
    """Search for the question, and again for its rewrite where that may find more."""

    def __init__(self, knowledge_base: KnowledgeBase, rewriter: QuestionRewriter | None) -> None:
        self._knowledge_base = knowledge_base
        self._rewriter = rewriter

    async def find(
        self,
        messages: Sequence[Message],
        top_k: int,
        filters: SearchFilters | None,
        groups: frozenset[str],
        context: TurnContext,
    ) -> SearchResult:
        """The passages for the last of `messages`. Raises as `KnowledgeBase.search` does."""

        async def search(
            question: str, translations: Mapping[str, str] = MappingProxyType({})
        ) -> SearchResult:
            return await self._knowledge_base.search(
                question, top_k, filters, translations, groups=groups
            )

        question = messages[-1].content
        # When it was rewritten, a search for it had not found the answer.
        if known := self._remembered(messages):
            language = await soon_question_language(question)
            return await search(known.get(language or "en", question), known)
        async with self._rewriting(messages, context) as rewriting:
            found = await search(question)
            if found.small_talk or (found.confident and rewriting is None):
                return found
            rewritten = await (rewriting or self._rewrite(messages, context))
        if rewritten:
            return await search(rewritten.get(found.language or "en", question), rewritten)
        # A long one may be clear for all its pronouns: then it finds its answer at once.
        if rewriting and (is_short(question) or not found.confident):
            return await search(with_the_question_before(messages))
        return found

    @asynccontextmanager
    async def _rewriting(
        self, messages: Sequence[Message], context: TurnContext
    ) -> AsyncIterator[Rewriting | None]:
        """For a question that depends on the history: its rewrite, concurrent with the search."""
        if not depends_on_history(messages):
            yield None
            return
        rewriting = asyncio.create_task(self._rewrite(messages, context))
        try:
            yield rewriting
        finally:
            rewriting.cancel()
            await asyncio.gather(rewriting, return_exceptions=True)

    def _remembered(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return the rewrite of an independent question that was asked before."""
        if self._rewriter is None or depends_on_history(messages):
            return {}
        return self._rewriter.remembered(messages)

    async def _rewrite(self, messages: Sequence[Message], context: TurnContext) -> dict[str, str]:
        return await self._rewriter.rewrite(messages, context) if self._rewriter else {}
