"""A question's passages: a dense and several lexical rankings, fused."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TypeVar

import msgspec.structs
import numpy as np

from app.errors import VectorsUnavailable
from app.events import Passage
from app.limits import FairQueue, caller_name
from app.retrieval.dense import Asked, DenseSearch
from app.retrieval.filters import Scope
from app.retrieval.fusion import reciprocal_rank_fusion
from app.retrieval.passage_weights import weighing
from app.retrieval.question import Question
from app.retrieval.records import POSITION_BITS
from app.retrieval.repetition import without_copies
from app.retrieval.store import Store
from app.retrieval.translations import Candidate, prefer_one_version

logger = logging.getLogger(__name__)

T = TypeVar("T")

# From each ranking: 30 candidates, 50 and 100 find the same.
_CANDIDATES = 30
# What a dense ranking counts beside a lexical one. The embedder puts the language before the
# meaning, so that each language has a ranking of its own, whatever its similarities. Recall@10
# with recorded translations is .96 from .7 to .9 and .93 at 1; without translation or glossary
# it is .62 at .7, .68 at .9 and .67 at 1.
_DENSE_WEIGHT = 0.9
# When the best passage is among the first three of two rankings at least, .76 of 55
# questions have an answer in the first three passages; of the other 29 .48.
_AGREEING, _AGREED_RANK = 2, 3


_THREADS = 4
_ROOM_CHARACTERS = 100_000
"""Of questions and translations that one caller has waiting to be searched for."""


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
        self._searching = FairQueue("searched", capacity=_THREADS, room=_ROOM_CHARACTERS)

    def close(self) -> None:
        """Start no further search."""
        self._searching.close()

    async def search(self, question: Question, scope: Scope, limit: int) -> Found:
        """The `limit` best, best first; without the dense half when that fails."""
        by_words = None
        if self._dense.waits(question, scope):
            asked, by_words = await asyncio.gather(
                self._ask(question, scope),
                self._run(question, partial(self._by_words, question, scope)),
            )
        else:
            asked = await self._ask(question, scope)
        if asked and asked.small_talk:
            return Found(small_talk=True)
        # One thread for all that is left: each handing over costs as much as some of the steps.
        found = partial(self._found, question, scope, limit, asked, by_words)
        return await self._run(question, found)

    async def _run(self, question: Question, work: Callable[[], T]) -> T:
        """Run `work` in a thread at the caller's turn. Its cost grows with the question."""
        texts = (question.text, *question.translations.values())
        return await self._searching.run(caller_name.get(), sum(map(len, texts)), work)

    async def _ask(self, question: Question, scope: Scope) -> Asked | None:
        try:
            return await self._dense.ask(question, _CANDIDATES, scope)
        except VectorsUnavailable as error:
            logger.warning("searched by words alone: %s", error)
            return None

    def _found(
        self,
        question: Question,
        scope: Scope,
        limit: int,
        asked: Asked | None,
        by_words: Sequence[Sequence[int]] | None,
    ) -> Found:
        by_meaning = self._dense.rankings(asked, _CANDIDATES, scope) if asked else []
        if by_words is None:
            by_words = self._by_words(question, scope)
        candidates = self._candidates(question, by_meaning, by_words, scope)
        best = candidates[0].chunk_id if candidates else None
        agreeing = sum(best in ranking[:_AGREED_RANK] for ranking in (*by_meaning, *by_words))
        return Found(
            self._passages(prefer_one_version(candidates, question.language), scope, limit),
            degraded=asked is None,
            confident=agreeing >= _AGREEING,
        )

    def _by_words(self, question: Question, scope: Scope) -> list[list[int]]:
        """A ranking for each version of the question."""
        asked_for = scope.filters.languages
        known = self._store.documents.languages()
        return [
            self._store.search_words(
                words.text,
                _CANDIDATES,
                replace(scope, filters=replace(scope.filters, languages=words.languages)),
                words.terms,
            )
            for words in question.words_in([lang for lang in known if lang in (asked_for or known)])
        ]

    def _candidates(
        self,
        question: Question,
        by_meaning: Sequence[Sequence[int]],
        by_words: Sequence[Sequence[int]],
        scope: Scope,
    ) -> list[Candidate]:
        """The chunks of all rankings, best first."""
        dense, lexical = reciprocal_rank_fusion(by_meaning), reciprocal_rank_fusion(by_words)
        # A chunk whose vector is still to come counts as if it were as near as by its words.
        waiting = self._dense.lacking(lexical.keys() - dense.keys()) if by_meaning else set()
        chunk_ids = np.array(sorted(dense.keys() | lexical.keys()), dtype=np.int64)
        documents = self._store.documents.documents()
        # A chunk may have been deleted or closed to the caller a moment ago.
        visible = chunk_ids[self._store.documents.visible(scope).mask(chunk_ids)]
        weigh = weighing(question.text)
        found = []
        for chunk_id in visible.tolist():
            document = documents.get(chunk_id >> POSITION_BITS)
            if document:
                parts = dense.get(chunk_id, 0.0), lexical.get(chunk_id, 0.0)
                meaning = parts[1] if chunk_id in waiting else parts[0]
                score = _DENSE_WEIGHT * meaning + parts[1]
                weight = weigh(document.jurisdiction, explains=document.explains(chunk_id))
                found.append(Candidate(chunk_id, document, score * weight, *parts))
        return sorted(found, key=attrgetter("score"), reverse=True)

    def _passages(self, candidates: Sequence[Candidate], scope: Scope, limit: int) -> list[Passage]:
        """The passages of the first candidates that say something of their own."""

        def read() -> Iterator[Passage]:
            # Few are left out.
            size = limit + limit // 2
            for start in range(0, len(candidates), size):
                part = candidates[start : start + size]
                stored = self._store.passages([c.chunk_id for c in part], scope)
                for candidate in part:
                    if passage := stored.get(candidate.chunk_id):
                        yield msgspec.structs.replace(
                            passage,
                            score=candidate.score,
                            dense_score=candidate.dense_score,
                            lexical_score=candidate.lexical_score,
                        )

        return list(islice(without_copies(read()), limit))
