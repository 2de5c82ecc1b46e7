"""The vector half of a search: the embedder, the vectors in memory, and Chroma for the most."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from app.errors import VectorsUnavailable
from app.limits import FairLock, FairQueue, caller_name
from app.retrieval.chroma_index import Approximate, ChromaIndex
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.exact import ExactIndex, nearest_first
from app.retrieval.filters import Scope
from app.retrieval.question import Question
from app.retrieval.question_vectors import QuestionVectors
from app.retrieval.records import Change, Neighbour, Partition
from app.retrieval.small_talk import SmallTalk
from app.retrieval.store import Store
from app.settings import Settings

# A question takes some 20 ms to embed and 2 ms a language to search, ten times that
# on a busy machine; the lexical half has answered long before.
SEARCH_TIMEOUT_S = 3.0
_TRY_S = 2.0
"""How often what failed is tried again."""
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
    found: Mapping[Partition, Approximate] = MappingProxyType({})


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
        made_by = f"{store.id} {embedder.name} {embedder.dimension}"
        self._chroma = ChromaIndex(settings.data_dir, made_by)
        # Held for a write to the store together with the same write to the vectors in memory.
        self._writing = FairLock()
        self._search_failed = False
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep_up, name="keep up", daemon=True)

    @property
    def works(self) -> bool:
        """Whether a search by meaning would be answered, as far as the last one tells."""
        return not self._search_failed

    def warm(self) -> None:
        """Load models and vectors, so that the first question need not wait for them."""
        if not self._closing.is_set():
            self._keeper.start()
        self._exact.load()
        try:
            self._small_talk.matches(self._embedder.embed_queries(["?"])[0])
        except VectorsUnavailable:
            self._search_failed = True
            raise

    def close(self) -> None:
        """Close the index; searches still running are not waited for."""
        self._closing.set()
        self._chroma.stop()
        if self._keeper.is_alive():
            self._keeper.join()
        self._embedding.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._chroma.close()

    def write(self, change_store: Callable[[], Change | None]) -> Change | None:
        """Change the store, then the vectors in memory alike."""
        with self._writing.hold(caller_name.get()):
            change = change_store()
            if change:
                self._exact.apply(change)
        return change

    def _keep_up(self) -> None:
        while not self._closing.wait(_TRY_S):
            if self._search_failed:
                self._try_embedder()
            if self._exact.loaded:
                self._chroma.keep_up(self._exact.sizes)

    def waits(self, question: Question, scope: Scope) -> bool:
        """Whether `ask` has to wait for the embedder, for vectors to be read or for Chroma."""
        known = self._vectors.remembers(question)
        return not known or not self._exact.loaded or bool(self._approximate(scope))

    async def ask(self, question: Question, limit: int, scope: Scope) -> Asked:
        """What `rankings` needs of a question.

        Raises `VectorsUnavailable`, at the time limit too, and `TooMuchWaiting`.
        """
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
        vectors = {p: by_language.get(p.language, vector) for p in self._approximate(scope)}
        found = self._chroma.search(vectors, limit) if vectors else {}
        return Asked(vector, by_language, found=found)

    def lacking(self, chunk_ids: Collection[int]) -> set[int]:
        """Those of the chunks whose vectors are still to come."""
        return self._exact.lacking(chunk_ids)

    def rankings(self, asked: Asked, limit: int, scope: Scope) -> list[list[int]]:
        """For each language at most `limit` chunks, nearest first."""
        found = self._exact.search(
            asked.vector,
            limit,
            scope.covers,
            self._store.documents.visible(scope),
            asked.by_language,
            asked.found,
        )
        by_language: dict[str, list[Neighbour]] = {}
        for partition, nearest in found.items():
            by_language.setdefault(partition.language, []).extend(nearest)
        return [
            [neighbour.chunk_id for neighbour in sorted(nearest, key=nearest_first)[:limit]]
            for _, nearest in sorted(by_language.items())
            if nearest
        ]

    def _approximate(self, scope: Scope) -> list[Partition]:
        """The partitions that Chroma is asked for; it knows no filter."""
        if scope.picks_documents:
            return []
        return [partition for partition in self._chroma.partitions if scope.covers(partition)]

    def _try_embedder(self) -> None:
        try:
            self._embedder.embed_queries(["?"])
        except VectorsUnavailable:
            return
        self._search_failed = False
