"""Documents into a store as the service does, with all vectors embedded ahead."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from app.errors import DocumentRejected
from app.limits import SERVICE
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder
from app.retrieval.ingest import Ingester, Turns
from app.retrieval.ingest_report import IngestSummary
from app.retrieval.options import NOTHING_SAID
from app.retrieval.reader import Reader
from app.retrieval.sources import Source, read_file, survey
from app.retrieval.store import Store
from app.retrieval.vector_worker import VectorWorker
from app.settings import Settings
from scripts.evaluation.vector_cache import CachingEmbedder

_REPORT_EVERY_S = 15.0


def index(corpus: Path, settings: Settings, embedder: Embedder) -> str:
    """Index the corpus. Returns what came of it in a line."""
    started = time.monotonic()
    if isinstance(embedder, CachingEmbedder):
        _embed_ahead(corpus, embedder)
    store = Store(settings.data_dir)
    store.claim_embedder(embedder)
    dense = DenseSearch(settings, store, embedder)
    try:
        summary = asyncio.run(_ingested(corpus, store, dense, embedder))
        stats = store.stats()
    finally:
        dense.close()
        store.close()
    for rejection in summary.rejected:
        print(f"not indexed: {rejection}")
    taken = time.monotonic() - started
    return f"{stats.documents} documents, {stats.chunks} passages, indexed in {taken:.0f} s"


async def _ingested(
    corpus: Path, store: Store, dense: DenseSearch, embedder: Embedder
) -> IngestSummary:
    turns = Turns()
    worker = VectorWorker(store, dense, embedder)
    worker.start()
    ingester = Ingester(store, dense, embedder, turns)
    summary = await ingester.run([Source(corpus)], NOTHING_SAID, lambda _: None)
    await worker.wait_done(SERVICE, lambda _: None)
    await worker.close()
    turns.close()
    return summary


def _embed_ahead(corpus: Path, embedder: CachingEmbedder) -> None:
    """Fill the cache with all vectors of the corpus: no document waits for another to be read."""
    missing = embedder.missing(list(_texts(corpus)))
    started = reported = time.monotonic()
    for done in embedder.fill(missing):
        now = time.monotonic()
        if now - reported >= _REPORT_EVERY_S or done == len(missing):
            reported = now
            rate = done / (now - started)
            print(
                f"embedded {done} of {len(missing)} passages, {rate:.1f} a second, "
                f"{(len(missing) - done) / rate:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


def _texts(corpus: Path) -> Iterator[str]:
    """What is embedded of each file that can be read."""
    with Reader() as reader:
        for file in survey([Source(corpus)], None, {}).files:
            try:
                prepared = reader.prepare(read_file(file.path), file.path.name, force=False)
            except DocumentRejected:
                continue  # the ingest says so
            yield from (chunk.embedded_text for chunk in prepared.chunks)
