"""The index of large partitions. Row 58 of the fault matrix: whatever happens, all is found."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.retrieval import chroma_index
from app.retrieval.chroma_index import ChromaIndex
from app.retrieval.chunking import Chunk
from app.retrieval.exact import ExactIndex
from app.retrieval.records import Change, Document, Partition
from app.retrieval.store import Store
from app.sandbox import Limits
from app.settings import ROOT
from tests.retrieval.material import EVERYTHING, MadeUpEmbedder

EMBEDDER = MadeUpEmbedder(384)
# Chroma writes its graph after a thousand rows.
TEXTS = [f"Text number {i}." for i in range(1_100)]
PARTITION = Partition("en", "public", superseded=False)
FILES = (
    "chroma.sqlite3",
    "data_level0.bin",
    "header.bin",
    "index_metadata.pickle",
    "length.bin",
    "link_lists.bin",
)
# Builds an index, prints its process, and waits to be killed.
HOLDER = """
import sys
from pathlib import Path
from tests.retrieval.test_chroma_index import Search
from app.retrieval import chroma_index

chroma_index.LARGE = 100
search = Search(Path(sys.argv[1]))
search.keep_up()
print(search.process, flush=True)
sys.stdin.read()
"""


class Search:
    """The store, its vectors in memory and the index, as `DenseSearch` has them."""

    def __init__(self, data_dir: Path) -> None:
        self.store = Store(data_dir)
        self.exact = ExactIndex(self.store)
        self.exact.load()
        self.index = ChromaIndex(data_dir, "made-up 384")

    def keep_up(self) -> None:
        self.index.keep_up(self.exact.sizes)

    @property
    def process(self) -> int:
        assert self.index._child
        return self.index._child._process.pid

    def put(self, name: str, texts: list[str]) -> None:
        document = Document(name, "root", name, "en", "hash", name)
        chunks = [Chunk(name, i, i, text) for i, text in enumerate(texts)]
        vectors = dict(zip(texts, EMBEDDER.embed_passages(texts), strict=True))
        self._apply(self.store.replace_document(document, chunks, texts, vectors))

    def delete(self, name: str) -> None:
        self._apply(self.store.delete_document(name))

    def _apply(self, change: Change | None) -> None:
        assert change
        self.exact.apply(change)

    def nearest(self, text: str, limit: int = 1) -> list[str]:
        """The texts that are nearest to one, by the index as far as it answers."""
        (vector,) = EMBEDDER.embed_queries([text])
        asked = dict.fromkeys(self.index.partitions, vector)
        found = self.exact.search(
            vector,
            limit,
            EVERYTHING.covers,
            self.store.documents.visible(EVERYTHING),
            approximate=self.index.search(asked, limit) if asked else {},
        )
        ids = [neighbour.chunk_id for neighbour in found[PARTITION]]
        passages = self.store.passages(ids, EVERYTHING)
        return [passages[chunk_id].text for chunk_id in ids]

    def all_found(self) -> bool:
        asked = TEXTS[::11]
        return [self.nearest(text) for text in asked] == [[text] for text in asked]

    def close(self) -> None:
        self.index.close()
        self.store.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chroma_index, "LARGE", 100)
    monkeypatch.setattr(chroma_index, "STALE", 10)
    monkeypatch.setattr(chroma_index, "_RETRY_S", 0.0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an index that was closed cleanly; copy it."""
    data_dir = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chroma_index, "LARGE", 100)
        search = Search(data_dir)
        search.put("doc", TEXTS)
        search.keep_up()
        assert search.index.partitions == {PARTITION}
        search.close()
    files = {path.name: path.stat().st_size for path in (data_dir / "chroma").rglob("*.*")}
    assert files.keys() == {*FILES, "closed.json"}
    assert all(files.values())
    return data_dir


@pytest.fixture
def data_dir(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "data")


@pytest.fixture
def search(data_dir: Path) -> Iterator[Search]:
    search = Search(data_dir)
    search.keep_up()
    assert search.index.partitions == {PARTITION}
    yield search
    search.close()


def graph_of(data_dir: Path) -> str:
    """The name of the graph's directory, which Chroma draws for each collection that it makes."""
    (graph,) = (path.parent.name for path in (data_dir / "chroma").rglob("header.bin"))
    return graph


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garble(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def delete(path: Path) -> None:
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [truncate, zero, garble, delete])
def test_whatever_is_damaged_all_is_found(
    data_dir: Path, name: str, damage: Callable[[Path], None]
) -> None:
    (path,) = (data_dir / "chroma").rglob(name)
    damage(path)
    search = Search(data_dir)
    search.keep_up()
    assert search.all_found()
    search.close()


def test_a_cleanly_closed_index_is_opened_again(data_dir: Path) -> None:
    graph = graph_of(data_dir)
    search = Search(data_dir)
    search.keep_up()
    assert search.index.partitions == {PARTITION}
    assert search.all_found()
    search.close()
    assert graph_of(data_dir) == graph


def test_an_index_of_another_embedder_is_built_again(data_dir: Path) -> None:
    graph = graph_of(data_dir)
    search = Search(data_dir)
    search.index = ChromaIndex(data_dir, "other 384")
    search.keep_up()
    assert search.all_found()
    search.close()
    assert graph_of(data_dir) != graph


def test_an_index_that_lost_rows_is_built_again(data_dir: Path) -> None:
    note = data_dir / "chroma" / "closed.json"
    note.write_text(note.read_text().replace("1100", "1101"))
    search = Search(data_dir)
    search.keep_up()
    assert not search.index.partitions
    assert search.all_found()
    search.keep_up()
    assert search.index.partitions == {PARTITION}
    assert search.all_found()
    search.close()


def test_a_data_dir_may_be_relative_and_have_any_name(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path("our data? 100%41 #1 è")
    shutil.copytree(built, name)
    search = Search(name)
    search.keep_up()
    assert search.index.partitions == {PARTITION}
    search.close()
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_what_came_later_is_found_and_what_is_gone_is_not(search: Search) -> None:
    search.put("new", ["Another text."])
    search.put("gone", ["A text for a while."])
    search.delete("gone")
    assert search.nearest("Another text.") == ["Another text."]
    assert search.nearest("A text for a while.") != ["A text for a while."]
    held = len(search.index._held[PARTITION])
    search.keep_up()
    assert len(search.index._held[PARTITION]) == held
    search.put("many", [f"Late text {i}." for i in range(chroma_index.STALE)])
    search.keep_up()
    assert len(search.index._held[PARTITION]) == held + 1 + chroma_index.STALE
    assert search.nearest("Late text 3.") == ["Late text 3."]


def test_where_too_much_is_gone_all_are_compared_rather_than_fewer_found(search: Search) -> None:
    rest = [f"Text of the rest {i}." for i in range(9)]
    search.put("rest", rest)
    search.delete("doc")
    assert search.index.partitions == {PARTITION}
    assert sorted(search.nearest("Text number 1.", 50)) == rest


def test_a_process_that_is_killed_shortens_no_answer_and_is_replaced(
    search: Search, data_dir: Path
) -> None:
    expected, killed = search.nearest("Text number 7.", 30), search.process
    os.kill(killed, signal.SIGKILL)
    assert search.nearest("Text number 7.", 30) == expected
    assert not search.index.partitions
    assert not (data_dir / "chroma").exists()
    search.keep_up()
    assert search.process != killed
    assert search.nearest("Text number 7.", 30) == expected


def test_a_process_that_hangs_shortens_no_answer_and_holds_nothing_up(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.index._child, "_limits", Limits(0.2, confined=False))
    expected, hanging = search.nearest("Text number 7.", 30), search.process
    os.kill(hanging, signal.SIGSTOP)
    assert search.nearest("Text number 7.", 30) == expected
    assert ended(hanging)


def test_a_service_that_ends_does_not_wait_for_a_build(data_dir: Path) -> None:
    (data_dir / "chroma" / "closed.json").unlink()
    search = Search(data_dir)
    building = threading.Thread(target=search.keep_up)
    building.start()
    while search.index._child is None:
        time.sleep(0.001)
    os.kill(search.process, signal.SIGSTOP)  # a build that takes for ever
    search.index.stop()
    building.join(timeout=60)
    assert not building.is_alive()
    search.close()


def test_small_partitions_need_no_process_and_leave_no_files(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma_index, "LARGE", 2_000)
    for left_over in ("chroma.new", "chroma.broken-20261101T120000"):  # of earlier versions
        (data_dir / left_over).mkdir()
    search = Search(data_dir)
    search.keep_up()
    assert search.index._child is None
    assert not list(data_dir.glob("chroma*"))
    assert search.all_found()
    search.close()


def test_the_process_has_none_of_the_services_keys(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted")
    search = Search(data_dir)
    search.keep_up()
    assert b"planted" not in Path(f"/proc/{search.process}/environ").read_bytes()
    search.close()


async def test_it_ends_with_the_service_however_that_ends_and_is_built_again(
    data_dir: Path,
) -> None:
    graph = graph_of(data_dir)
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, data_dir),
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
    search = Search(data_dir)
    search.keep_up()
    assert search.all_found()
    search.close()
    assert graph_of(data_dir) != graph
