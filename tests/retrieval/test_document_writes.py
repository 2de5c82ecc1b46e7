"""Large documents come and go in slices; what is found changes at once."""

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.retrieval.chunking import Chunk
from app.retrieval.database import FILE_NAME
from app.retrieval.document_writes import SLICE
from app.retrieval.records import Document, Stats
from app.retrieval.store import Store
from tests.retrieval.material import EVERYTHING
from tests.retrieval.test_store import put

MANY = 5 * SLICE + 1


def large(word: str) -> tuple[Document, list[Chunk], list[str]]:
    texts = [f"{word} number{n}" for n in range(MANY)]
    chunks = [Chunk("Large", 0, 1, text) for text in texts]
    return Document("large", "root", "Large", "en", word, word), chunks, texts


def rows_of(data_dir: Path, *tables: str) -> list[int]:
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as database:
        return [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


def killed(data_dir: Path, copy: Path) -> Path:
    """The files as they are at this moment, as a process that is killed leaves them."""
    return Path(shutil.copytree(data_dir, copy))


def found(store: Store, word: str) -> int:
    return len(store.search_words(word, MANY + 1, EVERYTHING))


def test_the_old_text_is_found_until_the_new_one_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "small", "Kites fly.")
    store.replace_document(*large("older"), {})
    with store.draft(*large("newer"), {}) as draft:
        assert rows_of(tmp_path, "chunks") == [1 + MANY + 5 * SLICE]
        assert (found(store, "older"), found(store, "newer")) == (MANY, 0)
        assert store.stats() == Stats(2, 1 + MANY)
        assert sum(store.pending.by_caller().values()) == MANY
        # Would wait for ever for one transaction of the whole.
        assert store.delete_document("small")
        store.publish(draft)
        assert (found(store, "older"), found(store, "newer")) == (0, MANY)
    assert store.stats() == Stats(1, MANY)
    store.erase_remains()
    assert rows_of(tmp_path, "chunks", "words", "pending_vectors", "hidden") == [MANY] * 3 + [0]
    store.close()


def test_no_transaction_writes_or_drops_more_than_a_slice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    statements: list[str] = []
    store._database._writer.set_trace_callback(statements.append)
    for word in ("older", "newer"):
        store.replace_document(*large(word), {})
    store.delete_document("large")
    store.erase_remains()
    store.close()

    counts: Counter[tuple[int, str]] = Counter()
    transaction = 0
    for statement in statements:
        transaction += statement.startswith("BEGIN")
        for kind in ("INSERT INTO chunks", "INSERT INTO words (rowid", "DELETE FROM words"):
            counts[transaction, kind] += statement.startswith(kind)
    assert counts.total() >= 6 * MANY - 10
    assert max(counts.values()) <= SLICE


def test_a_deleted_document_is_gone_at_once_and_dropped_after_a_kill(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    document, chunks, keys = large("older")
    vectors = {key: np.ones(384, np.float32) for key in keys[: 3 * SLICE]}
    added = store.replace_document(document, chunks, keys, vectors)
    change = store.delete_document("large")
    assert change
    assert (len(added.added), sum(map(len, change.removed.values()))) == (3 * SLICE, 3 * SLICE)
    assert (found(store, "older"), store.stats()) == (0, Stats(0, 0))
    assert (store.pending.by_caller(), store.chunk_ids()) == ({}, {})
    assert store.pending.next_texts("the service", 9) == {}
    assert store.embedded_texts() == {}
    left = killed(tmp_path / "data", tmp_path / "left")
    store.close()

    assert rows_of(left, "chunks", "hidden") == [MANY - SLICE, 1]
    store = Store(left)
    assert found(store, "older") == 0
    store.erase_remains()
    store.close()
    tables = ("chunks", "words", "vectors", "pending_vectors", "hidden")
    assert rows_of(left, *tables) == [0] * len(tables)


def test_a_document_comes_back_while_the_deleted_one_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(2):
        store.replace_document(*large("older"), {})
        assert found(store, "older") == MANY
        store.delete_document("large")
    store.replace_document(*large("older"), {})
    store.erase_remains()
    assert found(store, "older") == MANY
    assert rows_of(tmp_path, "chunks", "words", "hidden") == [MANY, MANY, 0]
    store.close()


def test_what_is_being_written_is_not_dropped_and_what_was_given_up_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    with pytest.raises(KeyError), store.draft(*large("older"), {}):
        store.erase_remains()
        assert rows_of(tmp_path / "data", "chunks", "hidden") == [5 * SLICE, 1]
        left = killed(tmp_path / "data", tmp_path / "left")
        raise KeyError
    store.erase_remains()
    assert rows_of(tmp_path / "data", "chunks", "words", "hidden") == [0, 0, 0]
    store.close()

    store = Store(left)
    store.erase_remains()
    store.close()
    assert rows_of(left, "chunks", "words", "pending_vectors", "hidden") == [0] * 4


def test_a_vector_that_comes_while_its_chunk_is_hidden_is_there_when_it_is_found(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    document, chunks, keys = large("older")
    with store.draft(document, chunks, keys, {}) as draft:
        settled = store.add_vectors({keys[0]: np.ones(384, np.float32)})
        assert settled.added == []
        change = store.publish(draft)
    assert len(change.added) == 1
    assert sum(store.pending.by_caller().values()) == MANY - 1
    store.close()
