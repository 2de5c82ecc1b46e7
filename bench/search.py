"""What a search costs but for the embedding: `python -m bench.search [CHUNKS]`.

Over made-up documents, kept from one time to the next. Then the longest pause of the event loop
while documents are ingested into the same knowledge base.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median, quantiles

from app.retrieval.filters import SearchFilters
from app.retrieval.knowledge_base import KnowledgeBase
from bench.knowledge import LANGUAGES, PUBLIC, MadeUp, Words, kept, settings, until_whole
from bench.processes import Server

QUESTIONS = 200
# With the process that holds Chroma's index.
PROCESSES = Server(os.getpid(), 0)

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
    """Print p50, p99 and processor time of each kind of search, and of sixteen at once.

    In the first row each question is new, so that lists of its words are read; the rows behind
    ask the same ones.
    """
    questions = [words.text(LANGUAGES[i % 3], 9) for i in range(QUESTIONS)]
    rows = [("none, new questions", SearchFilters(), PUBLIC)]
    rows += [(name, filters, PUBLIC) for name, filters in FILTERS.items()]
    rows.append(("access (two groups)", SearchFilters(), PUBLIC | {"staff"}))
    for name, filters, groups in rows:
        await base.search("index", filters=filters, groups=groups)
        taken, cpu = [], PROCESSES.cpu_s()
        for question in questions:
            started = time.perf_counter()
            found = await base.search(question, filters=filters, groups=groups)
            taken.append((time.perf_counter() - started) * 1000)
            assert found.passages
            assert not found.degraded
        cpu = (PROCESSES.cpu_s() - cpu) * 1000 / len(questions)
        p99 = quantiles(taken, n=100)[98]
        print(f"{name:22} p50 {median(taken):6.1f} ms   p99 {p99:6.1f} ms   CPU {cpu:5.2f} ms")
    for at_once in (1, 16):
        taken, cpu = [], PROCESSES.cpu_s()
        for start in range(0, QUESTIONS, at_once):
            batch = questions[start : start + at_once]
            started = time.perf_counter()
            await asyncio.gather(*(base.search(question, groups=PUBLIC) for question in batch))
            taken.append(time.perf_counter() - started)
        cpu = (PROCESSES.cpu_s() - cpu) * 1000 / QUESTIONS
        print(f"{QUESTIONS} searches, {at_once} at once: {sum(taken):.2f} s, CPU {cpu:.2f} ms each")


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
    """All of it, over a copy in the folder of the kept knowledge base."""
    shutil.copytree(await kept(chunks), folder, dirs_exist_ok=True)
    (folder / "more").mkdir()
    words, used = Words(), settings(folder)
    print(f"{chunks} chunks, load {os.getloadavg()[0]:.1f}")
    started = time.perf_counter()
    async with KnowledgeBase.open(used, MadeUp()) as base:
        await until_whole(base)
        print(f"index opened in {time.perf_counter() - started:.1f} s")
        await measure(base, words)
        print(f"memory {PROCESSES.peak_mb():.0f} MB")
        await pauses(base, words, folder / "more")
    size = sum(path.stat().st_size for path in used.data_dir.rglob("*") if path.is_file())
    print(f"disk {size / 1e6:.0f} MB, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, Path(name)))
