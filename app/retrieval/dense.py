"""The vector half: the embedder, the vectors in memory and Chroma's index together."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from app.errors import VectorsUnavailable
from app.limits import FairQueue, caller_name
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.exact import ExactIndex
from app.retrieval.filters import Scope
from app.retrieval.live_index import LiveIndex
from app.retrieval.question import Question
from app.retrieval.question_vectors import QuestionVectors
from app.retrieval.records import Change, Neighbour, Partition
from app.retrieval.small_talk import SmallTalk
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy
from app.settings import Settings

# A question takes some 20 ms to embed and 2 ms a language to search, ten times that
# on a busy machine; the lexical half has answered long before.
SEARCH_TIMEOUT_S = 3.0
_TRY_S = 2.0
"""How often what failed is tried again."""
# So many vectors of a partition are compared one by one; of more the nearest are looked for in
# Chroma's graph. Processor time of a question, ms: 3,333 0.18 and 1.4, 10,000 0.7, 20,000 2.4,
# 33,333 4.7 and 1.8. The graph found 9,998 of 10,000 neighbours.
EXACT_UP_TO = 15_000
# One at a time in the index; the others bound what may hang.
_THREADS = 4
_ROOM_CHARACTERS = 100_000
"""Of questions that one caller has waiting: fifty of the longest, hundreds of usual ones."""
_CALL_CHARACTERS = 100
"""What a call of the embedder costs apart from its texts, as so many characters."""


class Asked(NamedTuple):
    """A question's vector, by language those that differ from it, and what Chroma found."""

    vector: Vectors
    by_language: Mapping[str, Vectors] = MappingProxyType({})
    small_talk: bool = False
    found: Mapping[Partition, list[Neighbour]] = MappingProxyType({})


class DenseSearch:
    """Searches by meaning. `waits` and `ask` are for the event loop, all else blocks."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        embedder: Embedder,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._vectors = QuestionVectors(embedder)
        self._small_talk = SmallTalk(embedder)
        self._exact = ExactIndex(store)
        self._embedding = FairQueue("embedded", capacity=1, room=_ROOM_CHARACTERS)
        self._embedded_at = time.monotonic()
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="dense")
        made_by = MadeBy.of(embedder)
        self._live = LiveIndex(settings, store, made_by, self._exact, self._executor)
        self._search_failed = False
        self._closing = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follow", daemon=True)

    @property
    def works(self) -> bool:
        """Whether a search by meaning would be answered, as far as the last one tells."""
        return not self._search_failed and (self._live.works or self._does_without_chroma)

    @property
    def _does_without_chroma(self) -> bool:
        sizes = self._exact.sizes.values()
        return self._exact.loaded and all(n <= EXACT_UP_TO for n in sizes)

    def open(self) -> None:
        """Open the index, made equal to the store. A failure is logged and tried again.

        An index that has to be built anew takes some 2 ms a chunk, in another process.
        """
        if not self._follower.is_alive() and not self._closing.is_set():
            self._follower.start()
        self._live.open()

    def warm(self) -> None:
        """Load models and vectors, so that the first question need not wait for them."""
        self._exact.load()
        try:
            self._small_talk.matches(self._embedder.embed_queries(["?"])[0])
        except VectorsUnavailable:
            self._search_failed = True
            raise

    def close(self) -> None:
        """Close the index; searches still running are not waited for."""
        self._closing.set()
        if self._follower.is_alive():
            self._follower.join()
        self._embedding.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._live.close()

    def write(self, change_store: Callable[[], Change | None]) -> Change | None:
        """Change the store, then the indexes alike."""
        return self._live.write(change_store)

    def _follow(self) -> None:
        while not self._closing.wait(_TRY_S):
            if not self._live.works:
                self._live.recover()
            if self._search_failed:
                self._try_embedder()

    def waits(self, question: Question, scope: Scope) -> bool:
        """Whether `ask` has to wait for the embedder, for vectors to be read or for Chroma."""
        known = self._vectors.remembers(question)
        return not known or not self._exact.loaded or self._asks_chroma(scope)

    async def ask(self, question: Question, limit: int, scope: Scope) -> Asked:
        """What `rankings` needs of a question.

        Raises `VectorsUnavailable`, at the time limit too, and `TooMuchWaiting`.
        """
        if not self._live.works:
            self._live.recover()
        try:
            if not self.waits(question, scope):
                asked = self._asked(question, limit, scope)
            else:
                async with asyncio.timeout(SEARCH_TIMEOUT_S):
                    await self._embed(question)
                    loop = asyncio.get_running_loop()
                    blocking = partial(self._asked, question, limit, scope)
                    asked = await loop.run_in_executor(self._executor, blocking)
        except TimeoutError as error:
            # Behind too many questions of one's own nothing has failed.
            self._search_failed = time.monotonic() > self._embedded_at + SEARCH_TIMEOUT_S
            raise VectorsUnavailable(f"no answer within {SEARCH_TIMEOUT_S} s") from error
        except VectorsUnavailable:
            self._search_failed = True
            raise
        self._search_failed = False
        return asked

    async def _embed(self, question: Question) -> None:
        """Embed what is not remembered of a question, a slice at each of the caller's turns."""
        caller = caller_name.get()
        for texts in self._vectors.slices(question):
            cost = _CALL_CHARACTERS + sum(map(len, texts))
            await self._embedding.run(caller, cost, partial(self._vectors.embed, texts))
            self._embedded_at = time.monotonic()

    def _asked(self, question: Question, limit: int, scope: Scope) -> Asked:
        vector, by_language = self._vectors.of(question)
        if self._small_talk.matches(vector):
            return Asked(vector, small_talk=True)
        self._exact.load()
        asked = Asked(vector, by_language)
        return self._ask_chroma(asked, limit, scope) if self._asks_chroma(scope) else asked

    def rankings(self, asked: Asked, limit: int, scope: Scope) -> list[list[int]]:
        """For each language at most `limit` chunks, nearest first."""
        found = dict(asked.found) | self._exact.search(
            asked.vector,
            limit,
            lambda partition: scope.covers(partition) and partition not in asked.found,
            self._store.documents.visible(scope),
            asked.by_language,
        )
        by_language: dict[str, list[Neighbour]] = {}
        for partition, nearest in found.items():
            by_language.setdefault(partition.language, []).extend(nearest)
        return [
            [neighbour.chunk_id for neighbour in sorted(nearest, key=_nearest_first)[:limit]]
            for _, nearest in sorted(by_language.items())
            if nearest
        ]

    def _asks_chroma(self, scope: Scope) -> bool:
        return not scope.picks_documents and bool(self._large(scope))

    def _large(self, scope: Scope) -> frozenset[Partition]:
        sizes = self._exact.sizes.items()
        return frozenset(part for part, n in sizes if n > EXACT_UP_TO and scope.covers(part))

    def _ask_chroma(self, asked: Asked, limit: int, scope: Scope) -> Asked:
        large = self._large(scope)
        found = self._live.search(asked.vector, limit, large.__contains__, asked.by_language)
        return asked._replace(found=found)

    def _try_embedder(self) -> None:
        try:
            self._embedder.embed_queries(["?"])
        except VectorsUnavailable:
            return
        self._search_failed = False


def _nearest_first(neighbour: Neighbour) -> tuple[float, int]:
    return -neighbour.similarity, neighbour.chunk_id
