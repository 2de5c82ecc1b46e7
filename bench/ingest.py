"""What an ingest costs, and how long a small document waits next to a large one."""

import asyncio
import hashlib
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import kill
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench.corpus import CORPUS
from bench.processes import Server
from bench.targets import Targets

_CHARACTERS_A_PASSAGE = 830
_SMALL_PASSAGES = 10
_SMALL_DOCUMENTS = 3
_POLL_S = 0.05
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class Waited:
    """Seconds from the upload of a small document until it is found."""

    by_words_s: float
    by_vectors_s: float


class _Service:
    """A running service's documents."""

    def __init__(self, server: Server, http: httpx.AsyncClient) -> None:
        self._server = server
        self._http = http

    async def upload(self, name: str, text: str) -> int:
        """The passages of a document that was sent. Raises `httpx.HTTPStatusError`."""
        answer = await self._http.post(
            f"{self._server.url}/documents",
            files={"file": (name, text.encode())},
            data={"force": "true"},
        )
        answer.raise_for_status()
        chunks: int = answer.json()["chunks"]
        return chunks

    async def until_embedded(self) -> None:
        """Wait until no passage is without its vector."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                answer = await self._http.get(f"{self._server.url}/documents?limit=1")
                answer.raise_for_status()
                if not answer.json().get("pending_vectors"):
                    return
                await asyncio.sleep(_POLL_S)

    async def until_found(self, document_id: str, word: str) -> Waited:
        """Wait until the one document that holds the word is found, then until vectors find it."""
        started = time.perf_counter()
        by_words = 0.0
        body = {"query": word, "filters": {"document_ids": [document_id]}}
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                answer = await self._http.post(f"{self._server.url}/search", json=body)
                answer.raise_for_status()
                scores = [passage["scores"] for passage in answer.json()["passages"]]
                now = time.perf_counter() - started
                if not by_words and any(score["lexical"] for score in scores):
                    by_words = now
                if any(score["dense"] for score in scores):
                    return Waited(by_words, now)
                await asyncio.sleep(_POLL_S)


async def measure(started: Targets, *, passages: int) -> dict[str, Any]:
    """An ingest of so many passages, of real documents, into an empty knowledge base."""
    texts = _documents()
    pauses = started.folder / "pauses"
    timeout = httpx.Timeout(_PATIENCE_S)
    async with (
        started.zantara(pauses=pauses) as server,
        httpx.AsyncClient(timeout=timeout) as http,
    ):
        await asyncio.to_thread(_longest_pause, server, pauses)
        await server.settled()
        at_rest = await asyncio.to_thread(_longest_pause, server, pauses)
        service = _Service(server, http)
        found = await _one_by_one(server, service, _first(texts, passages))
        found["longest_pause_ms"] = await asyncio.to_thread(_longest_pause, server, pauses)
        found |= {"pause_at_rest_ms": at_rest, "peak_mb": round(server.peak_mb())}
        small = await _next_to_a_large_one(service, texts, passages // 2)
    found |= {
        "small_passages": _SMALL_PASSAGES,
        "small_by_words_s": round(median(w.by_words_s for w in small), 2),
        "small_by_words_most_s": round(max(w.by_words_s for w in small), 2),
        "small_by_vectors_s": round(median(w.by_vectors_s for w in small), 2),
        "small_by_vectors_most_s": round(max(w.by_vectors_s for w in small), 2),
    }
    print("ingest:", found, flush=True)
    return found


async def _one_by_one(
    server: Server, service: _Service, documents: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Documents as `zantara ingest` sends them, until all are found by their vectors too."""
    server.forget_peak()
    cpu, began = server.cpu_s(), time.perf_counter()
    chunks = sum([await service.upload(name, text) for name, text in documents])
    await service.until_embedded()
    taken = time.perf_counter() - began
    return {
        "documents": len(documents),
        "passages": chunks,
        "passages_per_s": round(chunks / taken, 1),
        "passages_per_cpu_s": round(chunks / (server.cpu_s() - cpu), 1),
    }


async def _next_to_a_large_one(
    service: _Service, texts: Sequence[tuple[str, str]], passages: int
) -> list[Waited]:
    """Small documents, each of a word of its own, while a large one is taken in."""
    size = passages * _CHARACTERS_A_PASSAGE
    unused = "\n\n".join(text for _, text in reversed(texts))
    waited = []
    large = asyncio.create_task(service.upload("large.md", f"# Large\n\n{unused[:size]}"))
    for n in range(_SMALL_DOCUMENTS):
        await asyncio.sleep(1)
        begin = size + n * _SMALL_PASSAGES * _CHARACTERS_A_PASSAGE
        part = unused[begin : begin + _SMALL_PASSAGES * _CHARACTERS_A_PASSAGE]
        word = f"zqsmall{n}"
        sending = asyncio.create_task(service.upload(f"small-{n}.md", f"# {word}\n\n{part}"))
        waited.append(await service.until_found(f"small-{n}", word))
        await sending
    await large
    await service.until_embedded()
    return waited


def _documents() -> list[tuple[str, str]]:
    """Name and text of the corpus' documents, in an order that means nothing."""
    paths = [*CORPUS.glob("laws/*.md"), *CORPUS.glob("guides/*.md")]
    paths.sort(key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
    return [(path.name, path.read_text("utf-8", errors="replace")) for path in paths]


def _first(texts: Sequence[tuple[str, str]], passages: int) -> list[tuple[str, str]]:
    """So many of the documents as have about that many passages; the last one is cut."""
    taken, room = [], passages * _CHARACTERS_A_PASSAGE
    for name, text in texts:
        if room <= 0:
            break
        taken.append((name, text[:room]))
        room -= len(text)
    return taken


def _longest_pause(server: Server, file: Path) -> float:
    """The event loop's longest pause in milliseconds since this was last asked."""
    file.unlink(missing_ok=True)
    kill(server.pid, signal.SIGUSR1)
    deadline = time.monotonic() + _PATIENCE_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service writes no pauses: {file}")
        time.sleep(_POLL_S)
    return float(file.read_text())
