"""Made-up knowledge bases of any size, built once and kept under `~/.cache/zantara-bench`.

The words are the bundled knowledge's, in its three languages, drawn as often as they are used;
the vectors are those of its passages, each with noise of its own. What ranks best means nothing;
what a search costs is what it costs with real ones.
"""

import asyncio
import hashlib
import itertools
import os
import random
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from zlib import crc32

import numpy as np

from app.retrieval import database, lexical_index, shipped_vectors
from app.retrieval.chunking import Chunk
from app.retrieval.e5 import E5Embedder
from app.retrieval.embedder import Vectors
from app.retrieval.knowledge_base import BUNDLED_VECTORS, KnowledgeBase
from app.retrieval.records import Document
from app.retrieval.store import Store
from app.settings import ROOT, Settings

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "zantara-bench"
LANGUAGES = ("en", "it", "id")
PUBLIC = frozenset({"public"})
_CHUNKS_A_DOCUMENT = 50
_CHUNKS_A_SECTION = 3
_WORDS_A_CHUNK = 140
_NOISE = 0.5
"""Its length beside the passage's own vector, which is 1: their cosine is about .9."""


class MadeUp:
    """Vectors like the service's own embedder's, the same for the same text, at no cost."""

    name = E5Embedder.name
    dimension = E5Embedder.dimension

    def __init__(self) -> None:
        bundled = shipped_vectors.load(ROOT / "knowledge" / BUNDLED_VECTORS, self)
        self._centres = np.stack(list(bundled.values()))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One by one."""
        vectors = [self._vector(text) for text in texts]
        return np.array(vectors, dtype=np.float32).reshape(-1, self.dimension)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """One by one."""
        return self.embed_queries(texts)

    def _vector(self, text: str) -> Vectors:
        """Some passage's, and noise."""
        draw = np.random.default_rng(crc32(text.encode()))
        noise = draw.standard_normal(self.dimension) * _NOISE / np.sqrt(self.dimension)
        vector = self._centres[draw.integers(len(self._centres))] + noise
        unit: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
        return unit


class Words:
    """Text in each language, of the words of the bundled knowledge."""

    def __init__(self) -> None:
        self._draw = random.Random(2)  # noqa: S311
        self._words = {
            language: [
                word
                for path in sorted((ROOT / "knowledge" / language).glob("*.md"))
                for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
            ]
            for language in LANGUAGES
        }

    def text(self, language: str, words: int) -> str:
        """So many words, as frequent ones as often as they are; one in ten is rare."""
        drawn = self._draw.choices(self._words[language], k=words)
        return " ".join(
            word if self._draw.random() > 0.1 else f"{word}{self._draw.randrange(10_000)}"
            for word in drawn
        )


def settings(folder: Path) -> Settings:
    """Of a knowledge base in this folder, with nothing bundled beside it."""
    (folder / "knowledge").mkdir(parents=True, exist_ok=True)
    return Settings(_env_file=None, data_dir=folder / "data", knowledge_dir=folder / "knowledge")


def fill(data_dir: Path, chunks: int, words: Words, embedder: MadeUp) -> None:
    """Write documents into the store; an index is made from it when it is opened."""
    store = Store(data_dir)
    store.claim_embedder(embedder)
    for number in range(chunks // _CHUNKS_A_DOCUMENT):
        language = LANGUAGES[number % 3]
        texts = [words.text(language, _WORDS_A_CHUNK) for _ in range(_CHUNKS_A_DOCUMENT)]
        starts = [0, *itertools.accumulate(len(text) + 1 for text in texts)]
        title = f"Document {number}"
        document = Document(
            *(f"doc-{number}", "bench", title, language, str(number), "\n".join(texts)),
            effective_date=date(2016 + number % 10, 1, 1).isoformat(),
            collection=f"collection-{number % 10}",
            access="staff" if number % 20 == 0 else "public",
        )
        cut = [
            Chunk(f"{title} › {i // _CHUNKS_A_SECTION}", start, start + len(text), text)
            for i, (start, text) in enumerate(zip(starts, texts, strict=False))
        ]
        keys = [f"{number}/{i}" for i in range(len(cut))]
        vectors = dict(zip(keys, embedder.embed_passages(texts), strict=True))
        store.replace_document(document, cut, keys, vectors)
    store.close()


async def until_whole(base: KnowledgeBase) -> None:
    """Wait for the index, however long it takes to build."""
    await base.wait_ready(3600)
    while (await base.search("index", groups=PUBLIC)).degraded:  # noqa: ASYNC110 - in a thread
        await asyncio.sleep(2)


async def kept(chunks: int) -> Path:
    """The folder of a knowledge base of so many chunks, built where it is not there yet.

    Ten thousand take a minute or two, a hundred thousand a quarter of an hour.
    """
    folder = CACHE / f"{chunks}-{_digest()}"
    if not folder.is_dir():
        print(f"building a knowledge base of {chunks} chunks in {folder}", flush=True)
        building = folder.with_suffix(".building")
        shutil.rmtree(building, ignore_errors=True)
        made = settings(building)
        embedder = MadeUp()
        await asyncio.to_thread(fill, made.data_dir, chunks, Words(), embedder)
        async with KnowledgeBase.open(made, embedder) as base:
            await until_whole(base)
        building.rename(folder)
    return folder


def _digest() -> str:
    """Of all that the cached stores are made of."""
    versions = f"{database.SCHEMA_VERSION} {lexical_index.VERSION} {MadeUp.name}"
    return hashlib.sha256(Path(__file__).read_bytes() + versions.encode()).hexdigest()[:12]


if __name__ == "__main__":
    for size in sys.argv[1:]:
        print(asyncio.run(kept(int(size))))
