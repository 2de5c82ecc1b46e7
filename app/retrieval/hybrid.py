"""A question's passages: a dense and several lexical rankings, fused."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.errors import VectorsUnavailable
from app.events import Passage
from app.retrieval.dense import DenseResult, DenseSearch
from app.retrieval.filters import Scope
from app.retrieval.fusion import reciprocal_rank_fusion
from app.retrieval.passage_weights import weight, without_copies
from app.retrieval.question import Question
from app.retrieval.store import Store
from app.retrieval.translations import prefer_one_version

logger = logging.getLogger(__name__)

# From each ranking: with 9,709 passages and recorded translations Recall@10 is .93 of 30
# candidates, .89 of 50 and of 100: a difference of one topic in 28.
_CANDIDATES = 30
# What a dense ranking counts beside a lexical one. The embedder puts the language before the
# meaning, so that each language has a ranking of its own, whatever its similarities. Recall@10
# with recorded translations is .93 from .5 to .8 and .89 at 1; without translation or glossary
# it is .46 at .5, .58 at .8 and .65 at 1, when words were ranked by SQLite's own BM25.
_DENSE_WEIGHT = 0.8
# When the best passage is among the first three of two rankings at least, .76 of 55
# questions have an answer in the first three passages; of the other 29 .48.
_AGREEING, _AGREED_RANK = 2, 3


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

    async def search(self, question: Question, scope: Scope) -> Found:
        """All candidates, best first; without the dense half when that fails."""
        dense, by_words = await asyncio.gather(
            self._by_meaning(question, scope),
            asyncio.to_thread(self._by_words, question, scope),
        )
        if dense and dense.small_talk:
            return Found(small_talk=True)
        by_meaning = dense.rankings if dense else ()
        return await asyncio.to_thread(
            self._found, question, by_meaning, by_words, scope, degraded=dense is None
        )

    async def _by_meaning(self, question: Question, scope: Scope) -> DenseResult | None:
        try:
            return await self._dense.search(question.text, _CANDIDATES, scope, question.meanings)
        except VectorsUnavailable as error:
            logger.warning("searched by words alone: %s", error)
            return None

    def _by_words(self, question: Question, scope: Scope) -> list[list[int]]:
        """A ranking for each version of the question."""
        asked_for = scope.filters.languages
        languages = [lang for lang in self._store.languages() if lang in (asked_for or {lang})]
        return [
            self._store.search_words(
                words.text,
                _CANDIDATES,
                replace(scope, filters=replace(scope.filters, languages=words.languages)),
                words.terms,
            )
            for words in question.words_in(languages)
        ]

    def _found(
        self,
        question: Question,
        by_meaning: Sequence[Sequence[int]],
        by_words: Sequence[Sequence[int]],
        scope: Scope,
        *,
        degraded: bool,
    ) -> Found:
        dense, lexical = reciprocal_rank_fusion(by_meaning), reciprocal_rank_fusion(by_words)
        scores = {
            i: _DENSE_WEIGHT * dense.get(i, 0.0) + lexical.get(i, 0.0)
            for i in sorted(dense.keys() | lexical.keys())
        }
        stored = self._store.passages(scores, scope)
        # Chroma may know a chunk that was deleted or closed to the caller a moment ago.
        found = {
            i: replace(
                stored[i],
                score=score * weight(stored[i], question.text),
                dense_score=dense.get(i, 0.0),
                lexical_score=lexical.get(i, 0.0),
            )
            for i, score in scores.items()
            if i in stored
        }
        ranked = sorted(found, key=lambda i: -found[i].score)
        best = ranked[0] if ranked else None
        agreeing = sum(best in ranking[:_AGREED_RANK] for ranking in (*by_meaning, *by_words))
        passages = prefer_one_version([found[i] for i in ranked], question.language)
        return Found(without_copies(passages), degraded=degraded, confident=agreeing >= _AGREEING)
