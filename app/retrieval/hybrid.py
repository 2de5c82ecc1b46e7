"""A question's passages: dense and lexical rankings, fused."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.errors import VectorsUnavailable
from app.events import Passage
from app.retrieval.dense import DenseResult, DenseSearch
from app.retrieval.filters import Scope
from app.retrieval.fusion import reciprocal_rank_fusion
from app.retrieval.store import Store
from app.retrieval.translations import prefer_one_version

logger = logging.getLogger(__name__)

# From each ranking. On 84 questions 20, 30 and 50 give Recall@10 .60, .58 and .57 and
# Recall@50 .81, .82 and .81: differences that mean nothing, so the one of the design.
_CANDIDATES = 30
# The cosine of a question and its nearest passage, above which the passage answers it.
_CONFIDENT_SIMILARITY = 0.9


@dataclass(frozen=True, slots=True)
class Found:
    """Passages, best first, and how they were found; see `SearchResult`."""

    passages: Sequence[Passage] = ()
    small_talk: bool = False
    degraded: bool = False
    confident: bool = False


class HybridSearch:
    """Searches a store by meaning and by words at once."""

    def __init__(self, store: Store, dense: DenseSearch) -> None:
        self._store = store
        self._dense = dense

    async def search(
        self,
        question: str,
        language: str | None,
        scope: Scope,
        translations: Mapping[str, str],
    ) -> Found:
        """All candidates, best first; without the dense half when that fails."""
        dense, by_words = await asyncio.gather(
            self._by_meaning(question, scope, translations),
            asyncio.to_thread(self._by_words, [question, *translations.values()], scope),
        )
        if dense and dense.small_talk:
            return Found(small_talk=True)
        neighbours = list(dense.neighbours.values()) if dense else []
        by_meaning = [[n.chunk_id for n in ranking] for ranking in neighbours]
        passages = await asyncio.to_thread(self._passages, language, by_meaning, by_words, scope)
        nearest = max((ranking[0].similarity for ranking in neighbours if ranking), default=0.0)
        return Found(passages, degraded=dense is None, confident=nearest >= _CONFIDENT_SIMILARITY)

    async def _by_meaning(
        self, question: str, scope: Scope, translations: Mapping[str, str]
    ) -> DenseResult | None:
        try:
            return await self._dense.search(question, _CANDIDATES, scope, translations)
        except VectorsUnavailable as error:
            logger.warning("searched by words alone: %s", error)
            return None

    def _by_words(self, questions: Sequence[str], scope: Scope) -> list[list[int]]:
        return [self._store.search_words(question, _CANDIDATES, scope) for question in questions]

    def _passages(
        self,
        language: str | None,
        by_meaning: Sequence[Sequence[int]],
        by_words: Sequence[Sequence[int]],
        scope: Scope,
    ) -> list[Passage]:
        scores = reciprocal_rank_fusion([*by_meaning, *by_words])
        dense, lexical = reciprocal_rank_fusion(by_meaning), reciprocal_rank_fusion(by_words)
        stored = self._store.passages(scores, scope)
        # Chroma may know a chunk that was deleted or closed to the caller a moment ago.
        found = [
            replace(
                stored[i],
                score=score,
                dense_score=dense.get(i, 0.0),
                lexical_score=lexical.get(i, 0.0),
            )
            for i, score in scores.items()
            if i in stored
        ]
        return prefer_one_version(found, language)
