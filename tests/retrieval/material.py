"""Small documents, and embedders that count, fail or are another."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from zlib import crc32

import numpy as np

from app.errors import VectorsUnavailable
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.records import PUBLIC

EVERYONE = frozenset({PUBLIC})
EVERYTHING = Scope(SearchFilters(), EVERYONE)

VISA = """\
---
title: Visas for a stay
language: en
source: Immigration law
effective_date: 2025-06-05
---
# Visas for a stay

## Tourist visa
A tourist visa lasts thirty days and can be extended once at the immigration office.

## Remote work
The E33G permit is for remote workers who earn at least 60,000 dollars a year abroad.
"""

TAX = """\
# Company tax

The corporate income tax rate is twenty-two per cent of taxable profit, as PP 55/2022 explains.
Restaurants are classified as KBLI 56101.
"""


def write(folder: Path, name: str, text: str) -> Path:
    """A file under the folder, with its parents."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


class CountingEmbedder:
    """The real one, which tells how many passages it embedded, and which questions."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name = embedder.name
        self.dimension = embedder.dimension
        self.passages = 0
        self.queries: list[str] = []

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.queries += texts
        return self._embedder.embed_queries(texts)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.passages += len(texts)
        return self._embedder.embed_passages(texts)


class OtherEmbedder(CountingEmbedder):
    """Another model, as far as its name tells."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(embedder)
        self.name = "another-model"


class HangingEmbedder(CountingEmbedder):
    """Indexes, but is not done with a question before it may `go_on`."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(embedder)
        self.go_on = Event()

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.go_on.wait()
        return super().embed_queries(texts)


class FailingEmbedder(CountingEmbedder):
    """Indexes, but cannot embed a question while it `fails`."""

    fails = True

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        if not self.fails:
            return super().embed_queries(texts)
        raise VectorsUnavailable(f"no memory to embed {texts}")


class MadeUpEmbedder:
    """Unit vectors that mean nothing, at no cost: the same text, the same vector."""

    name = "made-up"

    def __init__(self, dimension: int = 384) -> None:
        self.dimension = dimension

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return self.embed_queries(texts)

    def _vector(self, text: str) -> Vectors:
        draw = np.random.default_rng(crc32(text.encode()))
        vector = draw.standard_normal(self.dimension).astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))
