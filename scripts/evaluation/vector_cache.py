"""Vectors of texts that were embedded before, by content, outside the repository."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.store import vector_key

DEFAULT_PATH = Path.home() / ".cache" / "zantara-eval" / "vectors.sqlite3"

# Kept at once, so that an interrupted run goes on where it stopped.
_SLICE = 64


class CachingEmbedder:
    """An embedder that remembers passages in a file."""

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
        keys = [vector_key(self.name, text) for text in texts]
        found = {key: vector for key in keys if (vector := self._cached(key)) is not None}
        missing = list({k: t for k, t in zip(keys, texts, strict=True) if k not in found}.items())
        for start in range(0, len(missing), _SLICE):
            part = missing[start : start + _SLICE]
            vectors = self._embedder.embed_passages([text for _, text in part])
            made = {key: vector for (key, _), vector in zip(part, vectors, strict=True)}
            with self._database:
                self._database.executemany(
                    "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
                    ((key, vector.tobytes()) for key, vector in made.items()),
                )
            found |= made
        return np.stack([found[key] for key in keys])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _cached(self, key: str) -> Vectors | None:
        row = self._database.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return np.frombuffer(row[0], dtype=np.float32) if row else None
