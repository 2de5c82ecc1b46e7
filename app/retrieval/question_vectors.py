"""The vectors of the last questions, so that none is embedded twice."""

import threading
from collections.abc import Mapping

import numpy as np
from cachetools import LRUCache

from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.question import Question

_REMEMBERED = 4_096
"""With its bridges into other languages a question has up to three texts, of 1.5 kB each."""


class QuestionVectors:
    """Safe to use from any thread."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self._vectors: LRUCache[str, Vectors] = LRUCache(_REMEMBERED)

    def remembers(self, question: Question) -> bool:
        """Whether nothing would have to be embedded now."""
        texts = (question.text, *question.meanings.values())
        with self._lock:
            return all(text in self._vectors for text in texts)

    def by_language(self, question: Question) -> dict[str, Vectors]:
        """What passages are compared with, where that is not the question's own vector.

        Each version of a question is one way to say it, and the mean of several is nearer to what
        is meant: with translations, and without the glossary, Recall@10 of 84 questions is .89
        with it and .79 with each version alone. Raises `VectorsUnavailable`.
        """
        found = {language: self.of(text) for language, text in question.meanings.items()}
        versions = {language: found[language] for language in question.translated}
        if versions and question.language:
            versions[question.language] = self.of(question.text)
        return found | {language: _mean(language, versions) for language in versions}

    def of(self, text: str) -> Vectors:
        """A text's vector, embedded where it is not remembered. Raises `VectorsUnavailable`."""
        with self._lock:
            vector = self._vectors.get(text)
        if vector is None:
            vector = self._embedder.embed_query(text)
            with self._lock:
                self._vectors[text] = vector
        return vector


def _mean(language: str, versions: Mapping[str, Vectors]) -> Vectors:
    """Of the version in the language and the mean of the others."""
    others = [vector for other, vector in versions.items() if other != language]
    if not others:
        return versions[language]
    both = versions[language] + np.mean(others, axis=0)
    unit: Vectors = both / np.linalg.norm(both)
    return unit
