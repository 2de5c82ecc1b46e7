"""The vector half: embedder and index together, and what happens when they fail.

The index follows the store: a write goes to the store first and then to the index.
When the index fails it is dropped, searches say so, and it is opened anew (and
made to hold what the store holds) in the background.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from types import MappingProxyType

from app.errors import StorageFailed, VectorsUnavailable
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.exact import ExactIndex
from app.retrieval.filters import Scope
from app.retrieval.index_keeper import IndexKeeper
from app.retrieval.records import Change, Partition
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
# So many vectors of a language are compared one by one; of more the nearest are looked for in
# Chroma's graph. Processor time of a question, ms: 3,333 0.18 and 1.4, 10,000 0.7, 20,000 2.4,
# 33,333 4.7 and 1.8. The graph found 9,998 of 10,000 neighbours.
EXACT_UP_TO = 15_000
# One at a time in the embedder, one in the index; the others bound what may hang.
_THREADS = 4


@dataclass(frozen=True, slots=True)
class DenseResult:
    """A ranking of chunks for each language, nearest first; none for small talk."""

    rankings: Sequence[Sequence[int]] = ()
    small_talk: bool = False


class DenseSearch:
    """Searches by meaning. `search` is for the event loop, all else blocks."""

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
        sizes = self._exact.sizes
        return self._settings.chroma_url is None and bool(sizes) and max(sizes) <= EXACT_UP_TO

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
        if not self._settings.chroma_url:
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

    async def search(
        self,
        question: str,
        limit: int,
        scope: Scope,
        translations: Mapping[str, str] = MappingProxyType({}),
    ) -> DenseResult:
        """At most `limit` chunks a language, by the question's translation into it if there is one.

        Raises `VectorsUnavailable`, at the time limit too.
        """

        def blocking() -> DenseResult:
            vector = self._embedder.embed_query(question)
            if self._small_talk.matches(vector):
                return DenseResult(small_talk=True)
            translated = {
                language: self._embedder.embed_query(text)
                for language, text in translations.items()
            }
            return DenseResult(self._nearest(vector, limit, scope, translated))

        if self._index is None:
            self._recover()
        try:
            async with asyncio.timeout(SEARCH_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                result = await loop.run_in_executor(self._executor, blocking)
        except TimeoutError as error:
            self._search_failed = True
            raise VectorsUnavailable(f"no answer within {SEARCH_TIMEOUT_S} s") from error
        except VectorsUnavailable:
            self._search_failed = True
            raise
        self._search_failed = False
        return result

    def _nearest(
        self, vector: Vectors, limit: int, scope: Scope, translations: Mapping[str, Vectors]
    ) -> list[list[int]]:
        """A ranking for each language: of all its vectors where they are few, else Chroma's."""
        known = frozenset(self._store.documents.languages())
        asked = known & (scope.filters.languages or known)
        large = frozenset() if scope.picks_documents else frozenset(filter(self._is_large, asked))
        found: dict[str, list[int]] = {}
        if few := asked - large:
            visible = self._store.documents.visible(scope)
            found |= self._exact.search(vector, limit, visible, few, translations)
        if large:
            within = replace(scope, filters=replace(scope.filters, languages=large))
            found |= self._ask_chroma(vector, limit, within, translations)
        return [ranking for _, ranking in sorted(found.items())]

    def _is_large(self, language: str) -> bool:
        """Whether Chroma is asked for a language; on a shared server it has all of them."""
        served = self._settings.chroma_url is not None
        return served or self._exact.size(language) > EXACT_UP_TO

    def _ask_chroma(
        self, vector: Vectors, limit: int, scope: Scope, translations: Mapping[str, Vectors]
    ) -> dict[str, list[int]]:
        with self._index_lock:
            index = self._index
            if index is None:
                raise VectorsUnavailable("the vector index is being opened")
            try:
                return index.search(vector, limit, scope, translations)
            except VectorsUnavailable as error:
                self._give_up(index, error)
                raise

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
