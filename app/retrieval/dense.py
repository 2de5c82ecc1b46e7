"""The vector half: embedder and index together, and what happens when they fail.

The index follows the store: a write goes to the store first and then to the index.
When the index fails it is dropped, searches say so, and it is opened anew (and
made to hold what the store holds) in the background.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import MappingProxyType
from typing import NamedTuple

from app.errors import StorageFailed, VectorsUnavailable
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.exact import ExactIndex
from app.retrieval.filters import Scope
from app.retrieval.index_keeper import IndexKeeper
from app.retrieval.question_vectors import QuestionVectors
from app.retrieval.records import Change, Neighbour, Partition
from app.retrieval.shared_documents import SharedDocuments
from app.retrieval.small_talk import SmallTalk
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy, VectorIndex
from app.settings import Settings

logger = logging.getLogger(__name__)

# A question takes some 20 ms to embed and 2 ms a language to search, ten times that
# on a busy machine; the lexical half has answered long before.
SEARCH_TIMEOUT_S = 3.0
_RETRY_S = 10.0
FOLLOW_S = 2.0
"""How often other processes' changes are looked for: a request of some milliseconds."""
# So many vectors of a partition are compared one by one; of more the nearest are looked for in
# Chroma's graph. Processor time of a question, ms: 3,333 0.18 and 1.4, 10,000 0.7, 20,000 2.4,
# 33,333 4.7 and 1.8. The graph found 9,998 of 10,000 neighbours.
EXACT_UP_TO = 15_000
# One at a time in the embedder, one in the index; the others bound what may hang.
_THREADS = 4


class Asked(NamedTuple):
    """A question's vector, by language those of its translations, and what Chroma found."""

    vector: Vectors
    translations: Mapping[str, Vectors] = MappingProxyType({})
    small_talk: bool = False
    found: Mapping[Partition, list[Neighbour]] = MappingProxyType({})


class DenseSearch:
    """Searches by meaning. `waits` and `ask` are for the event loop, all else blocks."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        embedder: Embedder,
        on_news: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_news` is called, in a thread, when other processes changed the store's documents."""
        self._settings = settings
        self._on_news = on_news
        self._store = store
        self._embedder = embedder
        self._vectors = QuestionVectors(embedder)
        self._small_talk = SmallTalk(embedder)
        self._exact = ExactIndex(store)
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="dense")
        self._made_by = MadeBy.of(embedder)
        self._keeper = (
            None if settings.chroma_url else IndexKeeper(settings.data_dir, store, self._made_by)
        )
        self._index: VectorIndex | None = None
        self._shared: SharedDocuments | None = None
        self._failed: VectorIndex | None = None
        # Held while the index is used for a search, replaced or closed: 2 ms a search,
        # beside 12 and more in the embedder, which is one at a time as well.
        self._index_lock = threading.Lock()
        # Held for a write to the store together with the same write to the index.
        self._write_lock = threading.Lock()
        # Held while the index is opened, which may include building it.
        self._opening = threading.Lock()
        self._recovery: Future[None] | None = None
        self._retry_at = 0.0
        self._search_failed = False
        self._closed = False
        self._closing = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follow", daemon=True)

    @property
    def works(self) -> bool:
        """Whether a search by meaning would be answered, as far as the last one tells."""
        return not self._search_failed and (self._index is not None or self._does_without_chroma)

    @property
    def _does_without_chroma(self) -> bool:
        sizes = self._exact.sizes.values()
        return not self._served and self._exact.loaded and all(n <= EXACT_UP_TO for n in sizes)

    def open(self) -> None:
        """Open the index, made equal to the store. A failure is logged and tried again.

        An index that has to be built anew takes some 2 ms a chunk, in another process.
        """
        if not self._opening.acquire(blocking=False):
            return
        if not self._follower.is_alive() and not self._closed:
            self._follower.start()
        try:
            if self._index is not None:
                return  # somebody was faster, and the index must not be examined in use
            if self._keeper:
                self._keeper.make_sound()
            with self._write_lock:
                if not self._closed:
                    index = self._connect()
                    with self._index_lock:
                        self._index = index
        except VectorsUnavailable as error:
            self._retry_at = time.monotonic() + _RETRY_S
            logger.warning("no vector index, searching without it: %s", error)
        finally:
            self._opening.release()

    def warm(self) -> None:
        """Load models and vectors, so that the first question need not wait for them."""
        if not self._served:
            self._exact.load()
        self._small_talk.matches(self._embedder.embed_query("?"))

    def close(self) -> None:
        """Close the index; searches still running are not waited for."""
        self._closing.set()
        if self._follower.is_alive():
            self._follower.join()
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._keeper:
            self._keeper.stop()
        if self._recovery:
            wait([self._recovery])
        with self._write_lock, self._index_lock:
            self._closed = True
            if self._failed:
                self._failed.close()
            if self._index and self._keeper:
                self._keeper.close(self._index)
            elif self._index:
                self._index.close()
            self._index = self._failed = None

    def write(self, change_store: Callable[[], Change | None]) -> Change | None:
        """Change the store, then the index alike."""
        with self._write_lock:
            change = change_store()
            if change:
                self._exact.apply(change)
            index = self._index
            if change and index:
                try:
                    if self._shared:
                        self._shared.send()
                    index.add(change.added)
                    index.remove(change.removed)
                except VectorsUnavailable as error:
                    with self._index_lock:
                        self._give_up(index, error)
        return change

    def _follow(self) -> None:
        """Until the end: mend what failed, and take what other processes change on the server."""
        while not self._closing.wait(FOLLOW_S):
            if self._index is None:
                self._recover()
                continue
            if self._search_failed:
                self._try_embedder()
            with self._write_lock:
                index, shared = self._index, self._shared
                if index is None or shared is None:
                    continue
                try:
                    for change in shared.take():
                        self._exact.apply(change)
                        self._on_news()
                        # Who made the change may have died before it did this.
                        index.add(change.added)
                        index.remove(change.removed)
                except VectorsUnavailable as error:
                    with self._index_lock:
                        self._give_up(index, error)
                except StorageFailed as error:
                    logger.warning("cannot take what other processes changed: %s", error)

    def waits(self, question: str, scope: Scope, translations: Mapping[str, str]) -> bool:
        """Whether `ask` has to wait for the embedder, for vectors to be read or for Chroma."""
        known = self._vectors.remembers((question, *translations.values()))
        return not known or self._compares_unread(scope) or self._asks_chroma(scope)

    async def ask(
        self, question: str, limit: int, scope: Scope, translations: Mapping[str, str]
    ) -> Asked:
        """What `rankings` needs of a question and its translations, by language.

        Raises `VectorsUnavailable`, at the time limit too.
        """

        def blocking() -> Asked:
            vector = self._vectors.of(question)
            if self._small_talk.matches(vector):
                return Asked(vector, small_talk=True)
            translated = {code: self._vectors.of(text) for code, text in translations.items()}
            if self._compares_unread(scope):
                self._exact.load()
            asked = Asked(vector, translated)
            return self._ask_chroma(asked, limit, scope) if self._asks_chroma(scope) else asked

        if self._index is None:
            self._recover()
        try:
            if not self.waits(question, scope, translations):
                asked = blocking()
            else:
                async with asyncio.timeout(SEARCH_TIMEOUT_S):
                    loop = asyncio.get_running_loop()
                    asked = await loop.run_in_executor(self._executor, blocking)
        except TimeoutError as error:
            self._search_failed = True
            raise VectorsUnavailable(f"no answer within {SEARCH_TIMEOUT_S} s") from error
        except VectorsUnavailable:
            self._search_failed = True
            raise
        self._search_failed = False
        return asked

    def rankings(self, asked: Asked, limit: int, scope: Scope) -> list[list[int]]:
        """For each language at most `limit` chunks, nearest first, by the translation into it."""
        found = dict(asked.found)
        if not self._served or scope.picks_documents:
            found |= self._exact.search(
                asked.vector,
                limit,
                lambda partition: scope.covers(partition) and partition not in asked.found,
                self._store.documents.visible(scope),
                asked.translations,
            )
        by_language: dict[str, list[Neighbour]] = {}
        for partition, nearest in found.items():
            by_language.setdefault(partition.language, []).extend(nearest)
        return [
            [neighbour.chunk_id for neighbour in sorted(nearest, key=_nearest_first)[:limit]]
            for _, nearest in sorted(by_language.items())
            if nearest
        ]

    @property
    def _served(self) -> bool:
        return self._settings.chroma_url is not None

    def _compares_unread(self, scope: Scope) -> bool:
        return not self._exact.loaded and (scope.picks_documents or not self._served)

    def _asks_chroma(self, scope: Scope) -> bool:
        """Of a shared server all is asked, of our own the partitions of many passages."""
        return not scope.picks_documents and (self._served or bool(self._large(scope)))

    def _large(self, scope: Scope) -> frozenset[Partition]:
        sizes = self._exact.sizes.items()
        return frozenset(part for part, n in sizes if n > EXACT_UP_TO and scope.covers(part))

    def _ask_chroma(self, asked: Asked, limit: int, scope: Scope) -> Asked:
        large = frozenset() if self._served else self._large(scope)
        wanted = large.__contains__ if large else scope.covers
        with self._index_lock:
            index = self._index
            if index is None:
                raise VectorsUnavailable("the vector index is being opened")
            try:
                found = index.search(asked.vector, limit, wanted, asked.translations)
            except VectorsUnavailable as error:
                self._give_up(index, error)
                raise
        # One in which nothing was found is not compared instead.
        return asked._replace(found={part: [] for part in large} | found)

    def _try_embedder(self) -> None:
        try:
            self._embedder.embed_query("?")
        except VectorsUnavailable:
            return
        self._search_failed = False

    def _connect(self) -> VectorIndex:
        if self._keeper:
            index = self._keeper.open()
        else:
            assert self._settings.chroma_url
            index = VectorIndex.served(
                self._settings.chroma_url, self._made_by.digest, self._made_by
            )
        try:
            if not self._keeper:
                name = f"zantara-{self._made_by.digest}-documents"
                self._shared = SharedDocuments(index.client, name, self._store)
            rows = index.reconcile(self._current_ids, self._store.stored_vectors)
        except VectorsUnavailable:
            index.close()
            raise
        if rows:
            logger.info("the vector index lacked or exceeded the store by %d rows: mended", rows)
        return index

    def _current_ids(self) -> Mapping[Partition, set[int]]:
        """The store's chunks, after it took what is on the server."""
        if self._shared:
            for change in self._shared.take():
                self._exact.apply(change)
            self._on_news()
        return self._store.chunk_ids()

    def _give_up(self, index: VectorIndex, error: VectorsUnavailable) -> None:
        """Stop using an index that failed; the caller holds the index lock."""
        if self._index is index:
            logger.warning("the vector index failed, searching without it: %s", error)
            self._index, self._failed = None, index

    def _recover(self) -> None:
        """Open the index anew in the background, unless somebody is at it."""
        running = self._recovery is not None and not self._recovery.done()
        if not running and time.monotonic() >= self._retry_at:
            self._recovery = self._executor.submit(self._reopen)

    def _reopen(self) -> None:
        with self._write_lock, self._index_lock:
            failed, self._failed = self._failed, None
            if failed:
                failed.close()
                # It opened once and failed in use: its lists of ids cannot be trusted.
                if self._keeper:
                    self._keeper.discard()
        self.open()


def _nearest_first(neighbour: Neighbour) -> tuple[float, int]:
    return -neighbour.similarity, neighbour.chunk_id
