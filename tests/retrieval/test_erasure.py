"""Row 38 of the security matrix: what is deleted is in no file of the data directory."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from app.retrieval.database import FILE_NAME
from app.retrieval.store import Store
from tests.conftest import Serving
from tests.retrieval.material import EVERYTHING
from tests.retrieval.test_store import put

WORDS = (b"quixotic", b"xylophones", b"quixot", b"xyloph")


def text_of(n: int) -> str:
    return f"Rule {n}: quixotic xylophones number {n} need a permit of {n} days.\n\n" * 40


def found_in(data_dir: Path) -> dict[str, list[bytes]]:
    """The words that are in the files, by file; the index keeps their first six letters."""
    contents = {path: path.read_bytes().lower() for path in data_dir.rglob("*") if path.is_file()}
    found = {
        path.name: [word for word in WORDS if word in content] for path, content in contents.items()
    }
    return {name: words for name, words in found.items() if words}


def test_row_38_neither_the_text_nor_the_words_of_a_document_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.erase_remains()
    for n in range(5):
        put(store, f"kept-{n}", f"Kites need a permit of {n} days.")
        put(store, f"secret-{n}", text_of(n))
    assert found_in(tmp_path)
    for n in range(4):
        store.delete_document(f"secret-{n}")
    put(store, "secret-4", "It says nothing of that any more.")
    store.erase_remains()

    assert found_in(tmp_path) == {}
    assert len(store.search_words("kites", 9, EVERYTHING)) == 5
    store.close()


def test_row_38_what_was_deleted_before_the_process_was_killed_is_erased_at_the_next_start(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    put(store, "secret", text_of(1))
    store.delete_document("secret")
    store.close()
    store = Store(tmp_path)
    store.erase_remains()
    store.close()

    assert found_in(tmp_path) == {}


def test_row_38_the_free_pages_of_an_earlier_versions_store_are_erased(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "kept", "Kites need a permit.")
    put(store, "secret", text_of(1))
    store.close()
    database = sqlite3.connect(tmp_path / FILE_NAME)
    database.execute("PRAGMA secure_delete = OFF")
    database.execute("DELETE FROM meta WHERE key = 'erasure'")
    database.execute("DELETE FROM documents WHERE id = 'secret'")
    database.execute("DELETE FROM chunks WHERE number NOT IN (SELECT number FROM documents)")
    database.execute("DELETE FROM vectors WHERE key LIKE '%quixotic%'")
    database.execute("DELETE FROM words WHERE rowid NOT IN (SELECT id FROM chunks)")
    database.commit()
    database.close()
    assert found_in(tmp_path)

    store = Store(tmp_path)
    store.erase_remains()
    store.close()

    assert found_in(tmp_path) == {}


def test_what_readers_keep_is_kept_while_remains_are_erased(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "secret", text_of(1))
    store.delete_document("secret")
    before = store._database.generation
    store.erase_remains()

    assert store._database.generation == before
    store.close()


async def test_row_38_a_running_service_erases_what_it_deletes(
    serving: Serving, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main.ERASE_EVERY_S", 0.2)
    async with serving() as client:
        file = {"file": ("instruments.md", f"# Instruments\n\n{text_of(1)}".encode())}
        sent = await client.post("/documents", files=file, data={"force": "true"})
        assert sent.status_code == 201, sent.text
        assert found_in(data_dir)
        assert (await client.delete(f"/documents/{sent.json()['id']}")).status_code == 204
        async with asyncio.timeout(30):
            while found_in(data_dir):
                await asyncio.sleep(0.05)
