"""The one door to retrieval: search, add and delete."""

import asyncio
import logging
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Self

from app.errors import ConfigurationError, IndexNotReady, StorageFailed, VectorsUnavailable
from app.events import Passage, Section
from app.limits import caller_name
from app.retrieval import shipped_vectors
from app.retrieval.data_lock import exclusive
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder
from app.retrieval.embedders import configured_embedder
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.hybrid import HybridSearch
from app.retrieval.ingest import Ingester, Turns
from app.retrieval.ingest_report import (
    Ingested,
    IngestSummary,
    PassageMeter,
    Progress,
    ProgressCallback,
)
from app.retrieval.language import question_language, soon_question_language
from app.retrieval.options import NOTHING_SAID, IngestOptions
from app.retrieval.question import Question
from app.retrieval.reader import start_child
from app.retrieval.rebuild import rebuild
from app.retrieval.records import Stats
from app.retrieval.sources import UPLOADED, Source, is_within, uploaded_file
from app.retrieval.store import Store
from app.retrieval.vector_worker import VectorWorker
from app.sandbox import Spare
from app.settings import Settings

logger = logging.getLogger(__name__)

MAX_TOP_K = 50
# More than the longest real question; a pasted document would cost seconds to embed.
MAX_QUESTION_CHARACTERS = 2_000
BUNDLED_ROOT = "knowledge"
"""Where the bundled documents come from, and the caller that they are embedded for."""
BUNDLED_VECTORS = "vectors.npz"

# A start with a full index takes two seconds; beyond that a client should come again.
_READY_WAIT_S = 5.0
_VECTORS_WAIT_S = 15.0
"""For the vectors of bundled documents that were not shipped with theirs."""
_WARMING_WAIT_S = 2.0
"""For the embedder, which may be on another machine: without it words answer."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages, best first.

    `language` is the question's, None when it is too short to tell. `small_talk`: no
    question was asked, so nothing was looked up. `degraded`: the embedder
    failed, and these passages were found by their words alone. `confident`: the question
    found its answer at once, so that rewriting it is not worth a model's call.
    """

    passages: tuple[Passage, ...]
    language: str | None = None
    small_talk: bool = False
    degraded: bool = False
    confident: bool = False


class KnowledgeBase:
    """Documents that can be searched. Made by `open`; all methods are for one event loop."""

    def __init__(self, settings: Settings, store: Store, embedder: Embedder) -> None:
        self._settings = settings
        self._store = store
        self._embedder = embedder
        self._dense = DenseSearch(settings, store, embedder)
        self._hybrid = HybridSearch(store, self._dense)
        self.catalogue = store.catalogue
        self._stats = store.stats()
        # An upload does not wait for a process to start.
        self._readers = Spare(start_child)
        self._turns = Turns()
        self._ingester = Ingester(
            store, self._dense, embedder, self._turns, start=self._readers.take
        )
        self._vectors = VectorWorker(store, self._dense, embedder)
        self._stored = asyncio.Event()
        self._warming: asyncio.Task[None] | None = None
        self._embedding: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[str | None] | None = None
        self._prepared = asyncio.create_task(self._prepare())
        self._prepared.add_done_callback(self._after_preparation)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, embedder: Embedder | None = None
    ) -> AsyncIterator[Self]:
        """Open the data directory and index the bundled knowledge in the background.

        Raises `ConfigurationError`, `EmbedderMismatch`, and `StorageFailed` when the
        directory cannot be used or another process has it.
        """
        if "knowledge_dir" in settings.model_fields_set and not settings.knowledge_dir.is_dir():
            raise ConfigurationError(f"KNOWLEDGE_DIR {settings.knowledge_dir} is not a directory")
        async with AsyncExitStack() as stack:
            embedder = embedder or stack.enter_context(configured_embedder(settings))
            stack.enter_context(exclusive(settings.data_dir))
            store = await asyncio.to_thread(Store, settings.data_dir)
            stack.callback(store.close)
            await asyncio.to_thread(store.claim_embedder, embedder)
            knowledge_base = cls(settings, store, embedder)
            stack.push_async_callback(knowledge_base._erase_at_last)
            stack.push_async_callback(knowledge_base._close)
            yield knowledge_base

    @classmethod
    async def rebuild(
        cls,
        settings: Settings,
        progress: ProgressCallback | None = None,
        embedder: Embedder | None = None,
    ) -> int:
        """Embed every stored chunk afresh, whoever embedded it before; how many there are.

        For a knowledge base that is not open.
        """

        def blocking(chosen: Embedder, report: ProgressCallback) -> int:
            store = Store(settings.data_dir)
            try:
                return rebuild(store, chosen, report)
            finally:
                store.close()

        with exclusive(settings.data_dir), configured_embedder(settings) as configured:
            work = partial(blocking, embedder or configured)
            return await asyncio.to_thread(work, _on_this_loop(progress))

    @property
    def ready(self) -> bool:
        """Whether the bundled knowledge is indexed, so that searches are answered at once."""
        return (
            self._prepared.done()
            and not self._prepared.cancelled()
            and self._prepared.exception() is None
        )

    async def wait_warm(self, timeout_s: float) -> None:
        """Wait until nothing is left to load for a question, or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.wait([self._prepared])
                if self._telling:
                    await asyncio.wait([self._telling])

    @property
    def searches_by_meaning(self) -> bool:
        """Whether searches are whole; by words alone they go on without the embedder."""
        return self._dense.works

    async def wait_ready(self, timeout_s: float) -> None:
        """Raises `IndexNotReady` when the time is up, and whatever made the indexing fail."""
        done, _ = await asyncio.wait([self._prepared], timeout=timeout_s)
        if not done:
            raise IndexNotReady("the index is still being built")
        self._prepared.result()

    async def search(
        self,
        question: str,
        top_k: int = 8,
        filters: SearchFilters | None = None,
        translations: Mapping[str, str] = MappingProxyType({}),
        *,
        groups: frozenset[str],
    ) -> SearchResult:
        """The `top_k` (1 to 50) passages that fit the question best.

        Only documents of the caller's access `groups` are looked at. Uses the question's
        first 2,000 characters. `translations` holds the same question by
        language code: passages in that language are looked for with it. When the
        embedder fails the result is `degraded`, not an error. Raises
        `IndexNotReady`, `StorageFailed`, and `TooMuchWaiting` where the caller's
        earlier questions wait.
        """
        if not 1 <= top_k <= MAX_TOP_K:
            raise ValueError(f"top_k is {top_k}, expected 1 to {MAX_TOP_K}")
        await self._until_searchable()
        question = _plain(question)
        if not question:
            return SearchResult(())
        plain = await self._useful(translations) if translations else {}
        language = await soon_question_language(question)
        scope = Scope(filters or SearchFilters(), groups)
        found = await self._hybrid.search(Question(question, language, plain), scope, top_k)
        return SearchResult(
            tuple(found.passages),
            language,
            small_talk=found.small_talk,
            degraded=found.degraded,
            confident=found.confident,
        )

    async def _useful(self, translations: Mapping[str, str]) -> dict[str, str]:
        """Those into languages that there are documents in: the others cost and find nothing."""
        known = await asyncio.to_thread(self._store.documents.languages)
        plain = {code: _plain(text) for code, text in translations.items() if code in known}
        return {code: text for code, text in plain.items() if text}

    async def sections(self, passages: Sequence[Passage]) -> dict[int, Section]:
        """The whole section round each passage that is only a part of one, by its place."""
        return await asyncio.to_thread(self._store.sections, passages)

    async def add(
        self,
        paths: Sequence[Path],
        progress: ProgressCallback | None = None,
        options: IngestOptions = NOTHING_SAID,
    ) -> IngestSummary:
        """Index files and folders, and wait for the vectors; what vanished from one is deleted.

        A document's id is its path below the folder that was ingested first, without the
        extension, after the collection's name and a slash if there is one. Where the embedder
        fails the summary says so, and the vectors follow.
        """
        report = progress or _ignore
        await self._until_stored()
        summary = await self._ingester.run([Source(path) for path in paths], options, report)
        await self._count()
        try:
            await self._vectors.wait_done(caller_name.get(), PassageMeter(report).left)
        except (VectorsUnavailable, StorageFailed) as error:
            summary.without_vectors = str(error)
        return summary

    async def add_upload(
        self, name: str, content: bytes, options: IngestOptions, root: str = UPLOADED
    ) -> Ingested:
        """Index a file that was sent under a name; the service works on meanwhile.

        It is found by its words from then on, and by its vectors when they follow. Raises
        `DocumentRejected` with one line, `IndexNotReady`, `StorageFailed` and `TooMuchWaiting`;
        then nothing has changed.
        """
        file = uploaded_file(name, options.collection, root)
        await self._until_searchable()
        ingested = await self._ingester.add_upload(file, content, options)
        await self._count()
        self._vectors.wake()
        return ingested

    async def delete(self, document_id: str) -> bool:
        """Forget a document; False when there is none. A bundled one is back at the next start."""
        await self._until_stored()
        was_there = await asyncio.to_thread(self._ingester.delete, document_id)
        await self._count()
        return was_there

    async def erase_remains(self) -> None:
        """Erase what deleted documents left in the files. Raises `StorageFailed`."""
        await asyncio.to_thread(self._store.erase_remains)

    async def ids_from(self, root: str) -> list[str]:
        """The ids of the documents ingested from there or within it, whoever may read them."""
        known = await asyncio.to_thread(self._store.identities)
        return sorted(i for i, identity in known.items() if is_within(identity.root, root))

    def stats(self) -> Stats:
        """How much is indexed, as of the last change."""
        return self._stats

    async def _count(self) -> None:
        self._stats = await asyncio.to_thread(self._store.stats)

    async def _prepare(self) -> None:
        caller_name.set(BUNDLED_ROOT)
        folder = self._settings.knowledge_dir
        if folder.is_dir():
            await self._ingest_bundled(folder)
        self._stored.set()
        self._vectors.start()
        self._warming = asyncio.create_task(asyncio.to_thread(self._warm))
        self._embedding = asyncio.create_task(self._bundled_vectors())
        # What takes longer follows: words answer meanwhile.
        await asyncio.wait([self._embedding], timeout=_VECTORS_WAIT_S)
        await asyncio.wait([self._warming], timeout=_WARMING_WAIT_S)
        # Takes 0.6 s, in which the service is ready: a question that comes meanwhile waits.
        self._telling = asyncio.create_task(asyncio.to_thread(question_language, "?"))

    async def _ingest_bundled(self, folder: Path) -> None:
        shipped = await asyncio.to_thread(
            shipped_vectors.load, folder / BUNDLED_VECTORS, self._embedder
        )
        ingester = Ingester(self._store, self._dense, self._embedder, self._turns, shipped)
        summary = await ingester.run([Source(folder, BUNDLED_ROOT)], NOTHING_SAID, _ignore)
        await self._count()
        summary.skipped = [n for n in summary.skipped if Path(n.path).name != BUNDLED_VECTORS]
        logger.info("bundled knowledge: %s", summary)
        for rejection in summary.rejected:
            logger.warning("bundled knowledge: rejected %s", rejection)

    async def _bundled_vectors(self) -> None:
        """Wait for what was not shipped; a failure is logged where it happens."""
        with suppress(VectorsUnavailable, StorageFailed):
            await self._vectors.wait_done(BUNDLED_ROOT, lambda _: None)

    async def _until_stored(self) -> None:
        """Wait until the bundled documents are in the store. Raises what made that fail."""
        storing = asyncio.create_task(self._stored.wait())
        await asyncio.wait([self._prepared, storing], return_when=asyncio.FIRST_COMPLETED)
        storing.cancel()
        if not self._stored.is_set():
            self._prepared.result()

    async def _erase_at_last(self) -> None:
        try:
            await self.erase_remains()
        except StorageFailed as error:
            logger.warning("deleted documents are erased at the next start: %s", error)

    async def _until_searchable(self) -> None:
        """Words suffice for a search; the vector index is waited for as long as for them."""
        done, _ = await asyncio.wait([self._prepared], timeout=_READY_WAIT_S)
        if done or not self._stored.is_set():
            await self.wait_ready(0)

    def _after_preparation(self, prepared: asyncio.Task[None]) -> None:
        if prepared.cancelled():
            return
        error = prepared.exception()
        if error:
            logger.error("the knowledge base cannot be used", exc_info=error)

    def _warm(self) -> None:
        """Load what the first question would otherwise wait for."""
        try:
            self._dense.warm()
        except (StorageFailed, VectorsUnavailable) as error:
            logger.warning("not loaded before the first question: %s", error)

    async def _close(self) -> None:
        if not self._stored.is_set():
            self._prepared.cancel()
        if self._embedding:
            self._embedding.cancel()
        self._readers.close()
        await asyncio.wait([self._prepared])
        for task in (self._warming, self._telling):
            if task:
                await asyncio.wait([task])
        await self._vectors.close()
        self._hybrid.close()
        await asyncio.to_thread(self._turns.close)
        await asyncio.to_thread(self._dense.close)


def _plain(question: str) -> str:
    """The question as text that every part can take: no lone surrogates, no NUL."""
    question = question[:MAX_QUESTION_CHARACTERS]
    text = question.encode("utf-8", "replace").decode().replace("\0", " ")
    return unicodedata.normalize("NFC", text).strip()


def _ignore(_: Progress) -> None:
    pass


def _on_this_loop(progress: ProgressCallback | None) -> ProgressCallback:
    """The callback, for calls from a worker thread."""
    if progress is None:
        return _ignore
    loop = asyncio.get_running_loop()

    def report(step: Progress) -> None:
        loop.call_soon_threadsafe(progress, step)

    return report
