"""Text into vectors: what the retrieval asks of whatever does it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Maps text to unit vectors. Calls block and may come from any thread.

    A text's vector does not depend on the texts it is embedded with. Calls raise
    `VectorsUnavailable` when the model cannot be loaded or run.
    """

    @property
    def name(self) -> str:
        """Names the model, its weights and its engine: another name means other vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of questions, shape `(len(texts), dimension)`, in one batch.

        Does not wait for passages that are being embedded.
        """

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages, shape `(len(texts), dimension)`, in the order given.

        Cannot be interrupted: pass some 16 texts at a time where work may be cancelled.
        """
