"""The process that holds the embedded index: what it finds, and what happens when it dies."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.errors import VectorsUnavailable
from app.retrieval import dense, index_child, knowledge_base
from app.retrieval.chunking import Chunk
from app.retrieval.e5 import E5Embedder
from app.retrieval.index_child import IndexChild
from app.retrieval.index_keeper import IndexKeeper
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.records import Document, Partition, StoredVector
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy
from app.settings import ROOT, Settings
from tests.retrieval.material import EVERYONE, EVERYTHING, TAX, VISA, MadeUpEmbedder, write

pytestmark = pytest.mark.real_index_process

QUESTION = "How long may a tourist stay?"
EMBEDDER = MadeUpEmbedder(8)
MADE_BY = MadeBy.of(EMBEDDER)
TEXTS = [f"Text number {i}." for i in range(200)]
# Opens an index, says so, and waits to be killed.
HOLDER = """
import sys
from pathlib import Path
from app.retrieval.index_child import IndexChild
from app.retrieval.vector_index import MadeBy

child = IndexChild(Path(sys.argv[1]), Path(sys.argv[2]), MadeBy("made-up", 8))
child.reconcile()
print(child._process.pid, flush=True)
sys.stdin.read()
"""


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def children_in(data_dir: Path) -> set[int]:
    """Those that hold the index of this directory: another may live as long as a module."""
    tasks = Path("/proc/self/task").glob("*/children")
    pids = {int(pid) for path in tasks for pid in path.read_text().split()}
    name = b"app.retrieval.index_child\0"
    return {p for p in pids if name in (line := _command_line(p)) and bytes(data_dir) in line}


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until_it_waits_for_the_directory(pid: int) -> None:
    deadline = time.monotonic() + 60
    while not re.search(rf"-> FLOCK .* {pid} ", Path("/proc/locks").read_text()):
        assert time.monotonic() < deadline, "it does not wait"
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "data")
    chunks = [Chunk("doc", i, i, text) for i, text in enumerate(TEXTS)]
    vectors = dict(zip(TEXTS, EMBEDDER.embed_passages(TEXTS), strict=True))
    store.replace_document(Document("doc", "root", "doc", "en", "hash", ""), chunks, TEXTS, vectors)
    return store


def test_it_takes_in_what_the_store_has_and_follows_what_is_added_and_removed(
    store: Store, tmp_path: Path
) -> None:
    (rows,) = store.all_vectors()
    child = IndexChild(tmp_path / "chroma", tmp_path / "data", MADE_BY)
    assert child.reconcile() == len(TEXTS)
    assert child.reconcile() == 0
    child.remove({row.partition: [r.chunk_id for r in rows] for row in rows})
    assert child.reconcile() == len(TEXTS)
    child.remove({rows[0].partition: [rows[0].chunk_id]})
    child.add(rows[:1])
    found = child.search(rows[0].vector, 3, EVERYTHING.covers, {})
    ((partition, nearest),) = found.items()
    assert partition == rows[0].partition
    assert nearest[0].chunk_id == rows[0].chunk_id
    assert nearest[0].similarity == pytest.approx(1)
    assert len(nearest) == 3
    child.close()
    store.close()


def test_what_it_cannot_open_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "chroma").write_text("a file")
    child = IndexChild(tmp_path / "chroma", tmp_path / "data", MADE_BY)
    with pytest.raises(VectorsUnavailable):
        child.reconcile()
    child.close()
    store.close()


def test_what_it_does_not_even_read_ends_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = IndexChild(tmp_path / "chroma", tmp_path / "data", MADE_BY)
    child.reconcile()
    monkeypatch.setattr(index_child, "_TIME_LIMIT_S", 0.2)
    os.kill(child._process.pid, signal.SIGSTOP)
    # More than the pipe takes.
    wide = np.ones(4096, dtype=np.float32)
    rows = [StoredVector(i, "doc", Partition("en", "public", False), wide) for i in range(64)]
    with pytest.raises(VectorsUnavailable, match="code -9"):
        child.add(rows)
    with pytest.raises(VectorsUnavailable, match="code -9"):
        child.close()
    store.close()


# The larger one is more than a socket takes that nobody reads from.
@pytest.mark.parametrize("floats", [8, 1_000_000])
def test_one_that_hangs_does_not_keep_the_service_from_ending(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, floats: int
) -> None:
    monkeypatch.setattr(index_child, "_TIME_LIMIT_S", 0.2)
    child = IndexChild(tmp_path / "chroma", tmp_path / "data", MADE_BY)
    child.reconcile()
    os.kill(child._process.pid, signal.SIGSTOP)
    with pytest.raises(VectorsUnavailable, match="code -9"):
        child.search(np.zeros(floats, np.float32), 3, EVERYTHING.covers, {})
    with pytest.raises(VectorsUnavailable, match="code -9"):
        child.close()
    store.close()


def test_a_relative_data_dir_is_the_one_of_the_service(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    child = IndexKeeper(Path("data"), store, MADE_BY).open()
    assert child.reconcile() == len(TEXTS)
    child.close()
    store.close()
    assert (tmp_path / "data" / "chroma" / "chroma.sqlite3").exists()


def test_it_waits_for_one_that_a_killed_service_left_at_work(store: Store, tmp_path: Path) -> None:
    left = IndexChild(tmp_path / "chroma", tmp_path / "data", MADE_BY)
    left.reconcile()
    child = IndexChild(tmp_path / "chroma", tmp_path / "data", MADE_BY)
    wait_until_it_waits_for_the_directory(child._process.pid)
    left.close()
    assert child.reconcile() == 0
    child.close()
    store.close()


async def test_a_service_that_ends_does_not_wait_for_an_index_that_hangs_while_it_opens(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge_base, "_INDEX_WAIT_S", 0.01)
    async with asyncio.timeout(60):  # half of what the opening may take
        async with KnowledgeBase.open(settings, EMBEDDER):
            while not (children := children_in(settings.data_dir)):
                await asyncio.sleep(0.001)
            (opening,) = children
            os.kill(opening, signal.SIGSTOP)  # it has not even loaded Chroma
        assert ended(opening)


async def test_when_it_is_killed_words_answer_and_another_takes_its_place(
    settings: Settings, knowledge: Path, embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "EXACT_UP_TO", 0)
    write(knowledge, "en/visa.md", VISA)
    write(knowledge, "en/tax.md", TAX)
    async with KnowledgeBase.open(settings, embedder) as base, asyncio.timeout(120):
        before = await base.search(QUESTION, groups=EVERYONE)
        assert not before.degraded
        (pid,) = children_in(settings.data_dir)
        os.kill(pid, signal.SIGKILL)
        during = await base.search(QUESTION, groups=EVERYONE)
        assert during.degraded
        assert during.passages[0].document_id == before.passages[0].document_id
        while (after := await base.search(QUESTION, groups=EVERYONE)).degraded:
            await asyncio.sleep(0.1)
        assert after == before
        assert children_in(settings.data_dir)
    assert not children_in(settings.data_dir)


async def test_it_ends_with_the_service_however_that_ends(store: Store, tmp_path: Path) -> None:
    store.close()
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, tmp_path / "chroma", tmp_path / "data"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    async with asyncio.timeout(60):
        pid = int(await holder.stdout.readline())
        assert not ended(pid)
        holder.kill()
        await holder.wait()
        while not ended(pid):
            await asyncio.sleep(0.01)
