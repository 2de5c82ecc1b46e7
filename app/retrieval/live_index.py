"""Chroma's index while the service runs: it follows the store, and is opened anew when it fails.

A write goes to the store first and then to the indexes. When Chroma fails it is dropped, searches
say so, and it is opened anew (and made to hold what the store holds) in the background.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, wait

from app.errors import VectorsUnavailable
from app.retrieval.embedder import Vectors
from app.retrieval.exact import ExactIndex
from app.retrieval.index_child import IndexChild
from app.retrieval.index_keeper import IndexKeeper
from app.retrieval.records import Change, Neighbour, Partition
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy
from app.settings import Settings

logger = logging.getLogger(__name__)

_RETRY_S = 10.0


class LiveIndex:
    """Calls block, but for `works` and `recover`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        made_by: MadeBy,
        exact: ExactIndex,
        executor: Executor,
    ) -> None:
        """`exact` is changed alike."""
        self._store = store
        self._made_by = made_by
        self._exact = exact
        self._executor = executor
        self._keeper = IndexKeeper(settings.data_dir, store, made_by)
        self._index: IndexChild | None = None
        self._failed: IndexChild | None = None
        # Held while the index is used for a search, replaced or closed: 2 ms a search,
        # beside 12 and more in the embedder, which is one at a time as well.
        self._index_lock = threading.Lock()
        # Held for a write to the store together with the same write to the index.
        self._write_lock = threading.Lock()
        # Held while the index is opened, which may include building it.
        self._opening = threading.Lock()
        self._being_opened: IndexChild | None = None
        self._recovery: Future[None] | None = None
        self._retry_at = 0.0
        self._closed = False

    @property
    def works(self) -> bool:
        """Whether a search would be answered, as far as the last one tells."""
        return self._index is not None

    def open(self) -> None:
        """Open the index, made equal to the store. A failure is logged and tried again.

        An index that has to be built anew takes some 2 ms a chunk, in another process.
        """
        if not self._opening.acquire(blocking=False):
            return
        try:
            if self._index is not None:
                return  # somebody was faster, and the index must not be examined in use
            self._keeper.make_sound()
            with self._write_lock:
                if not self._closed:
                    index = self._make_equal(self._keeper.open())
                    with self._index_lock:
                        self._index = index
        except VectorsUnavailable as error:
            self._retry_at = time.monotonic() + _RETRY_S
            logger.warning("no vector index, searching without it: %s", error)
        finally:
            self._opening.release()

    def close(self) -> None:
        """Close the index. The executor is shut down before."""
        self._closed = True
        self._keeper.stop()
        if opening := self._being_opened:  # another thread may set it to None
            # It may hang, and takes in what it lacks at the next start as well.
            opening.kill()
        if self._recovery:
            wait([self._recovery])
        with self._write_lock, self._index_lock:
            if self._failed:
                _closed(self._failed)
            if self._index and _closed(self._index):
                self._keeper.seal()
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
                    index.add(change.added)
                    index.remove(change.removed)
                except VectorsUnavailable as error:
                    with self._index_lock:
                        self._give_up(index, error)
        return change

    def search(
        self,
        vector: Vectors,
        limit: int,
        wanted: Callable[[Partition], bool],
        by_language: Mapping[str, Vectors],
    ) -> dict[Partition, list[Neighbour]]:
        """As `VectorIndex.search`."""
        with self._index_lock:
            index = self._index
            if index is None:
                raise VectorsUnavailable("the vector index is being opened")
            try:
                return index.search(vector, limit, wanted, by_language)
            except VectorsUnavailable as error:
                self._give_up(index, error)
                raise

    def recover(self) -> None:
        """Open the index anew in the background, unless somebody is at it."""
        running = self._recovery is not None and not self._recovery.done()
        if not running and time.monotonic() >= self._retry_at:
            self._recovery = self._executor.submit(self._reopen)

    def _make_equal(self, index: IndexChild) -> IndexChild:
        self._being_opened = index
        if self._closed:
            index.kill()
        try:
            _tell_mended(index.reconcile())
        except VectorsUnavailable:
            _closed(index)
            raise
        finally:
            self._being_opened = None
        return index

    def _give_up(self, index: IndexChild, error: VectorsUnavailable) -> None:
        """Stop using an index that failed; the caller holds the index lock."""
        if self._index is index:
            logger.warning("the vector index failed, searching without it: %s", error)
            self._index, self._failed = None, index

    def _reopen(self) -> None:
        with self._write_lock, self._index_lock:
            failed, self._failed = self._failed, None
            if failed:
                _closed(failed)
                # It opened once and failed in use: its lists of ids cannot be trusted.
                self._keeper.discard()
        self.open()


def _tell_mended(rows: int) -> None:
    if rows:
        logger.info("the vector index lacked or exceeded the store by %d rows: mended", rows)


def _closed(index: IndexChild) -> bool:
    """Close it; whether that went well."""
    try:
        index.close()
    except VectorsUnavailable as error:
        logger.warning("the vector index was not closed as it should be: %s", error)
        return False
    return True
