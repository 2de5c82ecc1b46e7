"""Row 56 of the fault matrix, on a real file system that is full."""

import asyncio
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

import pytest

from app.errors import StorageFailed
from app.retrieval import chroma_index, dense
from app.retrieval.knowledge_base import KnowledgeBase
from app.settings import Settings
from tests.retrieval.material import EVERYONE, VISA, MadeUpEmbedder, write

pytestmark = pytest.mark.slow

QUESTION = "How long may a tourist stay?"
MEGABYTE = 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"this user may not mount a file system: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(path: Path, leave: int) -> None:
    """Take all of the disk but so many bytes."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            file.truncate(max(0, file.tell() - leave))


@pytest.mark.parametrize("left", [100_000, 2 * MEGABYTE])
async def test_a_full_disk_is_told_and_questions_are_answered_and_it_recovers(
    small_disk: Path,
    knowledge: Path,
    tmp_path: Path,
    left: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Chroma's files are on the disk, the vectors of few passages in memory alone.
    monkeypatch.setattr(chroma_index, "LARGE", 0)
    monkeypatch.setattr(chroma_index, "STALE", 0)
    monkeypatch.setattr(chroma_index, "_RETRY_S", 0.0)
    monkeypatch.setattr(dense, "_TRY_S", 0.1)
    write(knowledge, "visa.md", VISA)
    draw = random.Random(56)
    for i in range(60):
        words = " ".join("".join(draw.choices(ascii_lowercase, k=7)) for _ in range(5_000))
        write(tmp_path, f"more/doc-{i}.md", f"---\nlanguage: en\n---\n# Office{i}\n{words}")
    settings = Settings(data_dir=small_disk / "data", knowledge_dir=knowledge)
    embedder = MadeUpEmbedder()
    async with KnowledgeBase.open(settings, embedder) as base:
        await base.wait_ready(120)
        fill(small_disk / "ballast", left)
        with pytest.raises(StorageFailed, match="disk is full"):
            await base.add([tmp_path / "more"])
        during = await base.search(QUESTION, groups=EVERYONE)
        assert during.passages[0].document_id == "visa"
        (small_disk / "ballast").unlink()
        for path in sorted((tmp_path / "more").iterdir())[10:]:
            path.unlink()  # what is left has room
        await base.add([tmp_path / "more"])
        await until_whole(base)
    async with KnowledgeBase.open(settings, embedder) as base:
        await base.wait_ready(120)
        await until_whole(base)


async def until_whole(base: KnowledgeBase) -> None:
    """Ask for each document until the vector half answers too."""
    async with asyncio.timeout(120):
        for i in (0, 1, 10, 11):
            while (found := await base.search(f"Office{i}", groups=EVERYONE)).degraded:
                await asyncio.sleep(0.1)
            assert f"doc-{i}" in {passage.document_id for passage in found.passages}
