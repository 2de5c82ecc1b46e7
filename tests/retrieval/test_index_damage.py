"""Row 58 of the fault matrix: whatever becomes of Chroma's files, nothing is lost."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import VectorsUnavailable
from app.retrieval import dense, index_keeper, knowledge_base, seal
from app.retrieval.chunking import Chunk
from app.retrieval.dense import DenseSearch
from app.retrieval.e5 import E5Embedder
from app.retrieval.index_keeper import DIRECTORY, IndexKeeper
from app.retrieval.index_process import IndexProcess, Task
from app.retrieval.knowledge_base import KnowledgeBase, SearchResult
from app.retrieval.records import Document
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy, VectorIndex
from app.settings import Settings
from tests.retrieval.material import EVERYONE, EVERYTHING, TAX, VISA, MadeUpEmbedder, write

EMBEDDER = MadeUpEmbedder(384)
MADE_BY = MadeBy.of(EMBEDDER)
QUESTION = "How long may a tourist stay?"
TEXTS = [f"Text number {i}." for i in range(200)]
FILES = (
    "chroma.sqlite3",
    "data_level0.bin",
    "header.bin",
    "index_metadata.pickle",
    "length.bin",
    "link_lists.bin",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an index whose graph is written; copy it."""
    data_dir = tmp_path_factory.mktemp("built")
    store = Store(data_dir)
    document = Document("doc", "root", "doc", "en", "hash", "")
    chunks = [Chunk("doc", i, i, text) for i, text in enumerate(TEXTS)]
    vectors = dict(zip(TEXTS, EMBEDDER.embed_passages(TEXTS), strict=True))
    store.replace_document(document, chunks, TEXTS, vectors)
    directory = data_dir / DIRECTORY
    task = Task("build", str(directory), str(data_dir), store.id, MADE_BY)
    assert IndexProcess().run(task) == 0
    store.close()
    files = {path.name: path.stat().st_size for path in directory.rglob("*") if path.is_file()}
    assert files.keys() == set(FILES)
    assert all(files.values())
    return data_dir


@pytest.fixture
def data_dir(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "data")


def found(data_dir: Path) -> list[str]:
    """Opens the index as a start does, looks every chunk up, and closes it."""
    store = Store(data_dir)
    keeper = IndexKeeper(data_dir, store, MADE_BY)
    keeper.make_sound()
    index = keeper.open()
    index.reconcile()
    nearest = [
        neighbours[0].chunk_id
        for text in TEXTS
        for neighbours in index.search(
            EMBEDDER.embed_queries([text])[0], 1, EVERYTHING.covers, {}
        ).values()
    ]
    index.close()
    keeper.seal()
    passages = store.passages(nearest, EVERYTHING)
    store.close()
    return [passages[chunk_id].text for chunk_id in nearest]


def was_set_aside(data_dir: Path) -> bool:
    return bool(list(data_dir.glob("chroma.broken-*")))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garble(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def delete(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [truncate, zero, garble, delete])
def test_damage_to_a_closed_index_is_noticed_and_it_is_rebuilt(
    data_dir: Path, name: str, damage: Callable[[Path], None]
) -> None:
    seal.write(data_dir / DIRECTORY)
    (path,) = (data_dir / DIRECTORY).rglob(name)
    damage(path)
    assert found(data_dir) == TEXTS
    assert was_set_aside(data_dir)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("chroma.sqlite3", garble),
        ("data_level0.bin", zero),
        ("header.bin", truncate),
        ("length.bin", zero),
    ],
)
def test_damage_to_an_index_whose_process_was_killed_is_noticed_too(
    data_dir: Path, name: str, damage: Callable[[Path], None]
) -> None:
    (path,) = (data_dir / DIRECTORY).rglob(name)
    damage(path)
    assert found(data_dir) == TEXTS


def test_a_sound_index_is_kept_whether_it_was_closed_or_killed(data_dir: Path) -> None:
    for _ in range(2):
        assert found(data_dir) == TEXTS
    assert seal.examine(data_dir / DIRECTORY) is seal.Seal.WHOLE
    assert not was_set_aside(data_dir)


def test_a_data_dir_may_have_any_name(built: Path, tmp_path: Path) -> None:
    data_dir = shutil.copytree(built, tmp_path / "our data? 100%41 #1 è")
    for _ in range(2):
        assert found(data_dir) == TEXTS
    assert not was_set_aside(data_dir)
    assert list(tmp_path.iterdir()) == [data_dir]


def test_a_sealed_index_of_another_form_is_rebuilt(data_dir: Path) -> None:
    with closing(sqlite3.connect(data_dir / DIRECTORY / "chroma.sqlite3")) as connection:
        connection.execute("ALTER TABLE embeddings_queue RENAME TO log")
    seal.write(data_dir / DIRECTORY)
    assert found(data_dir) == TEXTS
    assert was_set_aside(data_dir)


def test_without_its_directory_it_is_built_beside_and_moved_in(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_keeper, "_FEW_ROWS", 10)
    shutil.rmtree(data_dir / DIRECTORY)
    assert found(data_dir) == TEXTS
    assert sorted(path.name for path in data_dir.iterdir() if path.is_dir()) == [DIRECTORY]


def test_a_graph_that_does_not_hold_its_vectors_does_not_verify(data_dir: Path) -> None:
    store = Store(data_dir)
    index = VectorIndex.embedded(data_dir / DIRECTORY, store.id, MADE_BY)
    with pytest.raises(VectorsUnavailable, match="of its own vectors"):
        index.verify(
            lambda ids: (replace(r, vector=np.flip(r.vector)) for r in store.stored_vectors(ids))
        )
    index.close()
    store.close()


@pytest.fixture
async def before_the_damage(
    settings: Settings, knowledge: Path, embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> SearchResult:
    """What was found, before the index of a small knowledge base was damaged."""
    write(knowledge, "en/visa.md", VISA)
    write(knowledge, "en/tax.md", TAX)
    async with KnowledgeBase.open(settings, embedder) as base:
        found = await base.search(QUESTION, groups=EVERYONE)
    assert not found.degraded
    zero(settings.data_dir / DIRECTORY / "chroma.sqlite3")
    monkeypatch.setattr(index_keeper, "_FEW_ROWS", 0)
    monkeypatch.setattr(knowledge_base, "_INDEX_WAIT_S", 0.01)
    return found


@pytest.mark.real_index_process
async def test_words_answer_while_a_broken_index_is_rebuilt(
    settings: Settings,
    embedder: E5Embedder,
    before_the_damage: SearchResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dense, "EXACT_UP_TO", 0)
    async with KnowledgeBase.open(settings, embedder) as base, asyncio.timeout(120):
        first = await base.search(QUESTION, groups=EVERYONE)
        assert first.degraded
        assert first.passages
        assert not base.searches_by_meaning
        while (after := await base.search(QUESTION, groups=EVERYONE)).degraded:
            await asyncio.sleep(0.1)
        assert base.searches_by_meaning
    assert after == before_the_damage


async def test_few_passages_are_compared_while_their_broken_index_is_rebuilt(
    settings: Settings, embedder: E5Embedder, before_the_damage: SearchResult
) -> None:
    async with KnowledgeBase.open(settings, embedder) as base:
        assert await base.search(QUESTION, groups=EVERYONE) == before_the_damage
        assert base.searches_by_meaning
        async with asyncio.timeout(120):  # in the background, for the day when there are many
            while not (settings.data_dir / DIRECTORY).exists():
                await asyncio.sleep(0.1)
    assert was_set_aside(settings.data_dir)


def test_closing_while_an_index_is_examined_leaves_it_in_its_place(data_dir: Path) -> None:
    store = Store(data_dir)
    keeper = IndexKeeper(data_dir, store, MADE_BY)
    keeper.stop()
    with pytest.raises(VectorsUnavailable, match="closing"):
        keeper.make_sound()
    store.close()
    assert not was_set_aside(data_dir)


def test_a_locked_index_is_not_taken_for_a_damaged_one(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seen on a busy machine; a lock that is held on purpose makes Chroma hang instead.
    locked = VectorsUnavailable("the process to check the index: database is locked")
    run, answers = IndexProcess.run, [locked, locked, locked]

    def locked_thrice(process: IndexProcess, task: Task) -> int:
        if answers:
            raise answers.pop()
        return run(process, task)

    monkeypatch.setattr(IndexProcess, "run", locked_thrice)
    store = Store(data_dir)
    keeper = IndexKeeper(data_dir, store, MADE_BY)
    with pytest.raises(VectorsUnavailable, match="locked"):
        keeper.make_sound()
    keeper.make_sound()
    store.close()
    assert not answers
    assert not was_set_aside(data_dir)


def test_an_index_in_use_is_not_examined(data_dir: Path) -> None:
    store = Store(data_dir)
    settings = Settings(data_dir=data_dir)
    dense = DenseSearch(settings, store, EMBEDDER)
    dense.open()
    (next((data_dir / DIRECTORY).rglob("header.bin"))).write_bytes(b"")
    dense.open()
    dense.close()
    store.close()
    assert not was_set_aside(data_dir)
