"""Embeds in the background what the store has no vectors of; nothing else embeds passages.

What waits is in the store, so that a process that is killed goes on at its next start. Between two
slices the caller that has had least of the embedder is next.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from app.errors import StorageFailed, VectorsUnavailable
from app.limits import caller_name
from app.limits.fair_clock import FairClock
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder
from app.retrieval.refusals import embed_each
from app.retrieval.store import Store

logger = logging.getLogger(__name__)

SLICE = 16
"""Passages in one call of the embedder, which nothing interrupts."""
RETRY_S = 10.0
"""After a failure of the embedder or of the disk."""


class VectorWorker:
    """One task and one thread, from `start` to `close`. For one event loop."""

    def __init__(self, store: Store, dense: DenseSearch, embedder: Embedder) -> None:
        self._store = store
        self._dense = dense
        self._embedder = embedder
        self._clock = FairClock()
        # Callers whose next slice is of their oldest document.
        self._oldest_next: set[str] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        self._wanted = asyncio.Event()
        self._stepped = asyncio.Condition()
        self._failure: VectorsUnavailable | StorageFailed | None = None
        self._working: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what an earlier process left."""
        self._working = asyncio.create_task(self._work())
        self._working.add_done_callback(_after_work)

    def wake(self) -> None:
        """There may be more to embed."""
        self._wanted.set()

    async def close(self) -> None:
        """End after the slice at hand."""
        if self._working:
            self._working.cancel()
            await asyncio.wait([self._working])
        await asyncio.to_thread(self._thread.shutdown)

    async def wait_done(self, caller: str, progress: Callable[[int], None]) -> None:
        """Wait until none of the caller's chunks waits; `progress` receives how many still do.

        Raises `VectorsUnavailable` or `StorageFailed` when an attempt fails; others follow.
        """
        self.wake()
        async with self._stepped:
            while left := (await asyncio.to_thread(self._store.pending.by_caller)).get(caller, 0):
                progress(left)
                await self._stepped.wait()
                if self._failure:
                    raise self._failure
        progress(0)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wanted.clear()
            try:
                more = await loop.run_in_executor(self._thread, self._step)
                self._failure = None
            except (VectorsUnavailable, StorageFailed) as error:
                logger.warning("passages wait for their vectors: %s", error)
                self._failure, more = error, True
            async with self._stepped:
                self._stepped.notify_all()
            if self._failure:
                await asyncio.sleep(RETRY_S)
            elif not more:
                await self._wanted.wait()

    def _step(self) -> bool:
        """Embed one slice; False when there was none."""
        waiting = self._store.pending.by_caller()
        caller = self._clock.next_of(waiting)
        if caller is None:
            return False
        caller_name.set(caller)  # of this thread: it writes at that caller's turn
        self._oldest_next &= waiting.keys()
        texts = self._store.pending.next_texts(caller, SLICE, oldest=caller in self._oldest_next)
        self._oldest_next ^= {caller}
        if texts:  # not deleted meanwhile
            self._clock.charge(caller, sum(map(len, texts.values())))
            self._embed(texts)
        return True

    def _embed(self, texts: Mapping[str, str]) -> None:
        vectors = embed_each(self._embedder, texts)
        self._dense.write(partial(self._store.add_vectors, vectors))
        if refused := texts.keys() - vectors:
            logger.warning("the embedder refuses %d of %d passages", len(refused), len(texts))
            self._store.refuse_vectors(refused)


def _after_work(working: asyncio.Task[None]) -> None:
    if not working.cancelled() and (error := working.exception()):
        logger.error("no passage is embedded any more", exc_info=error)
