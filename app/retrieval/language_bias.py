"""Makes similarities comparable between languages.

The embedder puts the language before the meaning: a question is nearer to any
passage in its own language than to the answer in another. How near a question is
to a language as a whole tells how much of a similarity is the language's.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from app.retrieval import shipped_vectors
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.records import Neighbour

# Directions of the mean of the bundled knowledge in each language: the same thirty
# topics in all three, so that what differs is the language.
LANGUAGES = Path(__file__).with_name("languages.npz")

# How much of it is taken off. On 75 questions Recall@10 of the dense half is .76, .80
# and .76 with 0, 0.5 and 1 times the mean, when each language is asked in itself.
_SHARE = 0.5


class LanguageBias:
    """What a similarity to a passage owes to the passage's language alone."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def merge(
        self,
        neighbours: Mapping[str, Sequence[Neighbour]],
        question: Vectors,
        translations: Mapping[str, Vectors],
    ) -> list[Neighbour]:
        """The neighbours of all languages as one ranking, best first.

        A language was searched with the translation into it, or with the question.
        """
        biases = {
            language: self._of(translations.get(language, question), language)
            for language in neighbours
        }
        lifted = [
            (neighbour.similarity - biases[language], neighbour)
            for language, ranking in neighbours.items()
            for neighbour in ranking
        ]
        lifted.sort(key=lambda item: (-item[0], item[1].chunk_id))
        return [neighbour for _, neighbour in lifted]

    def _of(self, question: Vectors, language: str) -> float:
        """Of a language that is not known what the known ones have on average."""
        directions = self._directions
        known = [directions[language]] if language in directions else list(directions.values())
        return _SHARE * float(np.mean(known @ question)) if known else 0.0

    @cached_property
    def _directions(self) -> dict[str, Vectors]:
        return shipped_vectors.load(LANGUAGES, self._embedder)
