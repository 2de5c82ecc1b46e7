"""Vectors of texts that were embedded before, by content, outside the repository."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.store import vector_key

DEFAULT_PATH = Path.home() / ".cache" / "zantara-eval" / "vectors.sqlite3"

# Kept at once, so that an interrupted run goes on where it stopped.
_SLICE = 64


class CachingEmbedder:
    """An embedder that remembers passages in a file.

    The key of a vector is made from the embedder's name and the text: embedders of different
    names share a file and no vector.
    """

    def __init__(self, embedder: Embedder, path: Path = DEFAULT_PATH) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._database = sqlite3.connect(path, check_same_thread=False, timeout=60)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL) "
            "WITHOUT ROWID"
        )
        self.name = embedder.name
        self.dimension = embedder.dimension

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Questions, in the order given."""
        return self._embedder.embed_queries(texts)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages, in the order given; those that are new are embedded and kept."""
        for _ in self.fill(self.missing(texts)):
            pass
        return np.stack([self._kept(self._key(text)) for text in texts])

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of the texts that have no vector yet, each once, the shortest first."""
        new = {self._key(text): text for text in texts}
        return sorted((t for key, t in new.items() if not self._is_kept(key)), key=len)

    def fill(self, texts: Sequence[str]) -> Iterator[int]:
        """Embed and keep texts, on all processors; how many are done, after each slice."""
        slices = [texts[start : start + _SLICE] for start in range(0, len(texts), _SLICE)]
        done = 0
        executor = ThreadPoolExecutor(os.cpu_count())
        try:
            embedded = executor.map(self._embedder.embed_passages, slices)
            for part, vectors in zip(slices, embedded, strict=True):
                self._keep(zip(part, vectors, strict=True))
                done += len(part)
                yield done
        finally:
            executor.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _key(self, text: str) -> str:
        return vector_key(self.name, text)

    def _keep(self, embedded: Iterable[tuple[str, Vectors]]) -> None:
        rows = ((self._key(text), vector.tobytes()) for text, vector in embedded)
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def _is_kept(self, key: str) -> bool:
        query = "SELECT 1 FROM vectors WHERE key = ?"
        return self._database.execute(query, (key,)).fetchone() is not None

    def _kept(self, key: str) -> Vectors:
        query = "SELECT vector FROM vectors WHERE key = ?"
        (vector,) = self._database.execute(query, (key,)).fetchone()
        return np.frombuffer(vector, dtype=np.float32)
