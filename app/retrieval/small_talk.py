"""Whether a message is a greeting or small talk rather than a question.

Decided by meaning: the message's vector is compared with those of examples of
small talk and of questions, in a dozen languages. In doubt it is a question.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.retrieval import shipped_vectors
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.store import vector_key

# Beside the code and not in KNOWLEDGE_DIR: they go with the margin below.
_EXAMPLES = Path(__file__).with_name("small_talk.json")
VECTORS = Path(__file__).with_name("small_talk.npz")

# The mean cosine of the three nearest examples of each kind: one odd example decides
# nothing. On 66 lines of small talk, 66 short questions ("why?", "VAT", "E33G",
# "thanks! and how long does it take?") and 84 long ones, none of them an example:
#   margin   small talk told   short questions kept   long questions kept
#    0            98 %                 80 %                  99 %
#    0.01         97 %                 95 %                 100 %
#    0.02         94 %                100 %                 100 %
#    0.025        94 %                100 %                 100 %
#    0.03         88 %                100 %                 100 %
_NEIGHBOURS = 3
_MARGIN = 0.025


class _Examples(NamedTuple):
    small_talk: Vectors
    questions: Vectors


class SmallTalk:
    """Tells small talk from questions; blocks, and may come from any thread."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def matches(self, question: Vectors) -> bool:
        """Whether the question's vector is clearly closer to small talk than to questions.

        Never so with an embedder of which no examples are shipped: the margin is
        this one's.
        """
        if self._examples is None:
            return False
        closeness_to_small_talk = _closeness(question, self._examples.small_talk)
        return closeness_to_small_talk - _closeness(question, self._examples.questions) > _MARGIN

    def vectors(self) -> dict[str, Vectors]:
        """Return every example's vector by key, embedded now: what is shipped."""
        texts = [text for kind in _read().values() for text in kind]
        return self._embedded(texts)

    @cached_property
    def _examples(self) -> _Examples | None:
        shipped = shipped_vectors.load(VECTORS, self._embedder)
        if not shipped:
            return None

        examples = _read()
        # An example added since has no vector shipped.
        added = [t for texts in examples.values() for t in texts if self._key(t) not in shipped]
        vectors = {**shipped, **self._embedded(added)}
        return _Examples(
            **{
                kind: np.stack([vectors[self._key(text)] for text in texts])
                for kind, texts in examples.items()
            }
        )

    def _embedded(self, texts: Sequence[str]) -> dict[str, Vectors]:
        vectors = self._embedder.embed_queries(texts)
        return dict(zip(map(self._key, texts), vectors, strict=True))

    def _key(self, text: str) -> str:
        return vector_key(f"{self._embedder.name} question", text)


def _closeness(question: Vectors, examples: Vectors) -> float:
    return float(np.sort(examples @ question)[-_NEIGHBOURS:].mean())


def _read() -> dict[str, Sequence[str]]:
    examples: dict[str, Sequence[str]] = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    return examples
