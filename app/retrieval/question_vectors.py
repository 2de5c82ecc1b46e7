"""The vectors of the last questions, so that none is embedded twice."""

import threading
from collections.abc import Iterable

from cachetools import LRUCache

from app.retrieval.embedder import Embedder, Vectors

_REMEMBERED = 4_096
"""With its bridges into other languages a question has up to three texts, of 1.5 kB each."""


class QuestionVectors:
    """Safe to use from any thread."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self._vectors: LRUCache[str, Vectors] = LRUCache(_REMEMBERED)

    def remembers(self, texts: Iterable[str]) -> bool:
        """Whether none of them would have to be embedded now."""
        with self._lock:
            return all(text in self._vectors for text in texts)

    def of(self, text: str) -> Vectors:
        """A text's vector, embedded where it is not remembered. Raises `VectorsUnavailable`."""
        with self._lock:
            vector = self._vectors.get(text)
        if vector is None:
            vector = self._embedder.embed_query(text)
            with self._lock:
                self._vectors[text] = vector
        return vector
