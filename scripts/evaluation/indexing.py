"""Documents into a store as the service does, with all vectors embedded ahead."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from app.errors import DocumentRejected
from app.retrieval import loaders
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder
from app.retrieval.ingest import Ingester
from app.retrieval.options import NOTHING_SAID
from app.retrieval.reader import Reader
from app.retrieval.sources import Source, survey
from app.retrieval.store import Store
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
        ingester = Ingester(store, dense, embedder, {}, lambda: False)
        summary = ingester.run([Source(corpus)], NOTHING_SAID, lambda _: None)
        stats = store.stats()
    finally:
        dense.close()
        store.close()
    for rejection in summary.rejected:
        print(f"not indexed: {rejection}")
    taken = time.monotonic() - started
    return f"{stats.documents} documents, {stats.chunks} passages, indexed in {taken:.0f} s"


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
                prepared = reader.prepare(loaders.read_file(file.path), file.path.name, force=False)
            except DocumentRejected:
                continue  # the ingest says so
            yield from (chunk.embedded_text for chunk in prepared.chunks)
