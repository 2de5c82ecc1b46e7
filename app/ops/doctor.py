"""What `zantara doctor` examines, and what it advises."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.errors import ChildFailed, RetrievalError, VectorsUnavailable
from app.llm.factory import open_client
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.provider import KeyState
from app.llm.targets import ModelTarget
from app.ops.running_service import health_of_running_service
from app.retrieval.e5 import E5Embedder
from app.retrieval.embedders import configured_embedder
from app.retrieval.extractors import recognition
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.reader import start_child
from app.sandbox import Confinement
from app.settings import Settings

MIN_FREE_BYTES = 500_000_000
"""A full disk leaves a Chroma index broken for good; the bundled one needs a few MB."""
INDEXING_TIMEOUT_S = 600.0
SLOW_QUESTION_S = 0.1
"""A question with its versions in two languages is then a third of a second late."""
_QUESTION = ["Quanto capitale serve per aprire una PT PMA?"]
_PASSAGES = ["modal disetor perusahaan asing dan izin usaha " * 24] * 8
"""Of some 190 tokens, as passages are on average."""


class Level(StrEnum):
    """How well a thing is: WARN costs quality or money, FAIL costs answers."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined. `advice` says what to do unless it is well."""

    subject: str
    level: Level
    found: str
    advice: str = ""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Examine keys, disk, sandbox, text recognition, embedder and index, in this order."""
    async with open_client(settings) as client:
        for finding in await _keys(client):
            yield finding
    yield _disk(settings.data_dir)
    yield await asyncio.to_thread(_sandbox)
    yield await asyncio.to_thread(_recognition)
    yield await asyncio.to_thread(_embedder, settings)
    yield await _index(settings)


async def _keys(client: LlamaScoutClient) -> list[Finding]:
    findings = [
        await _key("OPENROUTER_API_KEY_LLAMA", client.llama),
        await _key("ANTHROPIC_API_KEY", client.haiku),
    ]
    if not any(finding.level is Level.OK for finding in findings):
        advice = "set one of the two keys; until then questions get quotes, not answers"
        findings.append(Finding("models", Level.FAIL, "none can be asked", advice))
    return findings


async def _key(variable: str, target: ModelTarget | None) -> Finding:
    if target is None:
        advice = f"set {variable} in the environment or in .env"
        return Finding(variable, Level.WARN, "not set", advice)
    provider = target.provider.name
    match await target.provider.check_key():
        case KeyState.VALID:
            return Finding(variable, Level.OK, f"accepted by {provider}")
        case KeyState.REJECTED:
            advice = f"replace {variable}: the provider does not know it"
            return Finding(variable, Level.FAIL, f"rejected by {provider}", advice)
        case KeyState.OUT_OF_CREDIT:
            advice = "top up the account; until then the other model or quotes answer"
            return Finding(variable, Level.FAIL, f"no credit left at {provider}", advice)
        case KeyState.UNKNOWN:
            advice = "check the network, the provider's base URL and its status page"
            return Finding(variable, Level.WARN, f"{provider} gave no clear answer", advice)


def _disk(data_dir: Path) -> Finding:
    existing = next(p for p in (data_dir.absolute(), *data_dir.absolute().parents) if p.exists())
    if not os.access(existing, os.W_OK):
        advice = "make it writable for this user, or set DATA_DIR to a directory that is"
        return Finding("DATA_DIR", Level.FAIL, f"{existing} is not writable", advice)
    free = shutil.disk_usage(existing).free
    level = Level.OK if free >= MIN_FREE_BYTES else Level.FAIL
    advice = "free some space: an index that meets a full disk has to be rebuilt"
    return Finding("DATA_DIR", level, f"{existing}, {free / 1e9:.1f} GB free", advice)


def _sandbox() -> Finding:
    """What a process that decodes pictures cannot do: what it says itself once it is confined."""
    try:
        with start_child() as child:
            means = child.means
    except ChildFailed as error:
        advice = "no picture and no file but text is read: look at the log for its exit code"
        return Finding("sandbox", Level.FAIL, f"its process {error}", advice)
    missing = [str(mean) for mean in Confinement if mean not in means]
    if not missing:
        return Finding("sandbox", Level.OK, ", ".join(means))
    advice = "the kernel has it not: a hostile file that takes over its reader may do more"
    return Finding("sandbox", Level.WARN, f"without {' and '.join(missing)}", advice)


def _recognition() -> Finding:
    """Whether scans can be read, and in which of the three languages."""
    found = recognition.languages()
    missing = [language for language in recognition.LANGUAGES if language not in found]
    packages = " ".join(f"tesseract-ocr-{language}" for language in missing)
    advice = f"install {packages}: until then scans and photographs are not read as they should"
    if not missing:
        return Finding("recognition", Level.OK, f"Tesseract with {', '.join(found)}")
    known = f"Tesseract without {', '.join(missing)}" if found else "Tesseract is not installed"
    return Finding("recognition", Level.WARN, known, advice)


def _embedder(settings: Settings) -> Finding:
    """Embed a question, and passages of the usual length: well under a second once loaded."""
    with configured_embedder(settings) as embedder:
        engine = f" ({embedder.engine})" if isinstance(embedder, E5Embedder) else ""
        advice = "until then searches go by words alone"
        try:
            embedder.embed_queries(["?"])
            question_s = min(_seconds(embedder.embed_queries, _QUESTION) for _ in range(3))
            passages_s = _seconds(embedder.embed_passages, _PASSAGES)
        except VectorsUnavailable as error:
            return Finding("embedder", Level.FAIL, str(error), advice)
    speed = f"{question_s * 1e3:.0f} ms a question, {len(_PASSAGES) / passages_s:.0f} passages/s"
    level = Level.OK if question_s <= SLOW_QUESTION_S else Level.WARN
    advice = "use a processor with AVX2, AVX-512 VNNI or Arm's dot products, or set EMBEDDINGS_URL"
    return Finding("embedder", level, f"{embedder.name}{engine}: {speed}", advice)


def _seconds(embed: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    start = time.perf_counter()
    embed(texts)
    return time.perf_counter() - start


async def _index(settings: Settings) -> Finding:
    try:
        async with KnowledgeBase.open(settings) as knowledge_base:
            await knowledge_base.wait_ready(INDEXING_TIMEOUT_S)
            stats = knowledge_base.stats()
            documents, chunks = stats.documents, stats.chunks
    except RetrievalError as error:
        health = await asyncio.to_thread(health_of_running_service, settings)
        if health is None:
            return Finding("index", Level.FAIL, str(error), "do what the message says")
        documents, chunks = health["knowledge"]["documents"], health["knowledge"]["chunks"]
    level = Level.OK if chunks else Level.FAIL
    found = f"{documents} documents, {chunks} chunks"
    return Finding("index", level, found, "ingest some: zantara ingest PATH…")
