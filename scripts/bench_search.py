"""What a search costs but for the embedding: `python -m scripts.bench_search [CHUNKS]`.

Made-up documents: words drawn as often as the bundled knowledge uses them, in its
three languages, and unit vectors round a hundred centres. Then the longest pause of
the event loop while documents are ingested into the same knowledge base.
"""

import asyncio
import itertools
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from zlib import crc32

import numpy as np

from app.retrieval.chunking import Chunk
from app.retrieval.embedder import Vectors
from app.retrieval.filters import SearchFilters
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.records import Document
from app.retrieval.store import Store
from app.settings import ROOT, Settings

LANGUAGES = ("en", "it", "id")
CHUNKS_A_DOCUMENT = 50
WORDS_A_CHUNK = 140
QUESTIONS = 200
CENTRES = 100
PUBLIC = frozenset({"public"})


class MadeUp:
    """Vectors round a hundred centres, the same for the same text, at no cost."""

    name = "made-up"
    dimension = 384

    def __init__(self) -> None:
        self._centres = np.random.default_rng(1).standard_normal((CENTRES, self.dimension))

    def embed_query(self, text: str) -> Vectors:
        """Some centre, and noise."""
        draw = np.random.default_rng(crc32(text.encode()))
        vector = self._centres[draw.integers(CENTRES)] + draw.standard_normal(self.dimension)
        unit: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
        return unit

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """One by one."""
        return np.stack([self.embed_query(text) for text in texts])


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


def fill(data_dir: Path, chunks: int, words: Words, embedder: MadeUp) -> None:
    """Write the documents into the store."""
    store = Store(data_dir)
    store.claim_embedder(embedder)
    for number in range(chunks // CHUNKS_A_DOCUMENT):
        language = LANGUAGES[number % 3]
        texts = [words.text(language, WORDS_A_CHUNK) for _ in range(CHUNKS_A_DOCUMENT)]
        starts = [0, *itertools.accumulate(len(text) + 1 for text in texts)]
        title = f"Document {number}"
        document = Document(
            *(f"doc-{number}", "bench", title, language, str(number), "\n".join(texts)),
            effective_date=date(2016 + number % 10, 1, 1).isoformat(),
            collection=f"collection-{number % 10}",
            access="staff" if number % 20 == 0 else "public",
        )
        cut = [
            Chunk(title, start, start + len(text), text)
            for start, text in zip(starts, texts, strict=False)
        ]
        keys = [f"{number}/{i}" for i in range(len(cut))]
        vectors = dict(zip(keys, embedder.embed_passages(texts), strict=True))
        store.replace_document(document, cut, keys, vectors)
    store.close()


FILTERS = {
    "none": SearchFilters(),
    "language (a third)": SearchFilters(languages=frozenset({"id"})),
    "document (50 chunks)": SearchFilters(document_ids=frozenset({"doc-7"})),
    "collection (a tenth)": SearchFilters(collections=frozenset({"collection-3"})),
    "date (a tenth)": SearchFilters(
        effective_from=date(2020, 1, 1), effective_to=date(2020, 12, 31)
    ),
    "date (half)": SearchFilters(effective_from=date(2021, 1, 1)),
}


async def measure(base: KnowledgeBase, words: Words) -> None:
    """Print p50 and p99 of each kind of search, and of sixteen at once."""
    questions = [words.text(LANGUAGES[i % 3], 9) for i in range(QUESTIONS)]
    rows = [(name, filters, PUBLIC) for name, filters in FILTERS.items()]
    rows.append(("access (two groups)", SearchFilters(), PUBLIC | {"staff"}))
    for name, filters, groups in rows:
        for question in questions[:5]:
            await base.search(question, filters=filters, groups=groups)
        taken = []
        for question in questions:
            started = time.perf_counter()
            found = await base.search(question, filters=filters, groups=groups)
            taken.append((time.perf_counter() - started) * 1000)
            assert found.passages
            assert not found.degraded
        p99 = quantiles(taken, n=100)[98]
        print(f"{name:22} p50 {median(taken):6.1f} ms   p99 {p99:6.1f} ms")
    alone = time.perf_counter()
    for question in questions[:64]:
        await base.search(question, groups=PUBLIC)
    alone = time.perf_counter() - alone
    together = time.perf_counter()
    for start in range(0, 64, 16):
        batch = questions[start : start + 16]
        await asyncio.gather(*(base.search(question, groups=PUBLIC) for question in batch))
    together = time.perf_counter() - together
    print(f"64 searches one by one {alone:.2f} s, sixteen at once {together:.2f} s")


async def longest_pause(stop: asyncio.Event) -> float:
    """The longest time, in ms, that a tick of 5 ms was late."""
    longest = 0.0
    while not stop.is_set():
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - started - 0.005)
    return longest * 1000


async def pauses(base: KnowledgeBase, words: Words, folder: Path) -> None:
    """Print the longest pause with nothing under way, and during an ingest."""
    for i in range(30):
        paragraphs = "\n\n".join(words.text("en", 140) for _ in range(20))
        (folder / f"more-{i}.md").write_text(f"# More {i}\n\n{paragraphs}")
    for name in ("nothing under way", "ingest"):
        stop = asyncio.Event()
        ticking = asyncio.create_task(longest_pause(stop))
        if name == "ingest":
            print(await base.add([folder]))
        else:
            await asyncio.sleep(5)
        stop.set()
        print(f"longest pause of the event loop, {name}: {await ticking:.0f} ms")


async def run(chunks: int, folder: Path) -> None:
    """All of it, in a folder of its own."""
    for name in ("knowledge", "more"):
        (folder / name).mkdir()
    words, embedder = Words(), MadeUp()
    settings = Settings(
        _env_file=None, data_dir=folder / "data", knowledge_dir=folder / "knowledge"
    )
    started = time.perf_counter()
    fill(settings.data_dir, chunks, words, embedder)
    print(f"{chunks} chunks stored in {time.perf_counter() - started:.0f} s")
    for what in ("built", "opened"):
        started = time.perf_counter()
        async with KnowledgeBase.open(settings, embedder) as base:
            await base.wait_ready(3600)
            while (await base.search("index", groups=PUBLIC)).degraded:  # noqa: ASYNC110
                await asyncio.sleep(2)
            print(f"index {what} in {time.perf_counter() - started:.1f} s")
            if what == "opened":
                await measure(base, words)
                print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
                await pauses(base, words, folder / "more")
    size = sum(path.stat().st_size for path in settings.data_dir.rglob("*") if path.is_file())
    print(f"disk {size / 1e6:.0f} MB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, Path(name)))
