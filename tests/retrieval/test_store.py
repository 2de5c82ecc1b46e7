import sqlite3
from pathlib import Path

import numpy as np
import pytest

from app.errors import EmbedderMismatch, StorageFailed
from app.retrieval.chunking import Chunk, chunk_text
from app.retrieval.database import FILE_NAME
from app.retrieval.e5 import E5Embedder
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.records import POSITION_BITS, Change, Document, Partition, Stats
from app.retrieval.store import Store
from tests.retrieval.material import EVERYTHING, OtherEmbedder


def put(store: Store, document_id: str, text: str, language: str = "en") -> Change:
    """A document whose vectors are made up: one key a distinct chunk."""
    document = Document(document_id, "root", document_id, language, "hash", text)
    chunks = chunk_text(text, document_id)
    keys = [chunk.text for chunk in chunks]
    vectors = {key: np.full(384, len(key), dtype=np.float32) for key in keys}
    return store.replace_document(document, chunks, keys, vectors)


def vectors_in(data_dir: Path) -> int:
    connection = sqlite3.connect(data_dir / FILE_NAME)
    count: int = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
    connection.close()
    return count


def test_a_document_comes_back_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    change = put(store, "visas", "Thirty days.")
    store.close()
    store = Store(tmp_path)
    document = store.document("visas")
    passage = store.passages([change.added[0].chunk_id], EVERYTHING)[change.added[0].chunk_id]
    store.close()
    assert document
    assert document.text[passage.start : passage.end] == passage.text == "Thirty days."
    assert (passage.document_id, passage.section, passage.language) == ("visas", "visas", "en")


def test_replacing_a_document_replaces_chunks_words_and_vectors(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = put(store, "visas", "Thirty days.")
    new = put(store, "visas", "Sixty days.")
    assert new.removed == {Partition("en", "public", False): [row.chunk_id for row in old.added]}
    assert store.stats() == Stats(1, 1)
    assert store.search_words("thirty", 5, EVERYTHING) == []
    assert store.search_words("sixty", 5, EVERYTHING) == [new.added[0].chunk_id]
    assert vectors_in(tmp_path) == 1
    store.close()


def test_a_vector_that_another_document_uses_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a", "The same words.")
    put(store, "b", "The same words.")
    assert vectors_in(tmp_path) == 1
    store.delete_document("a")
    assert vectors_in(tmp_path) == 1
    store.delete_document("b")
    assert vectors_in(tmp_path) == 0
    store.close()


def test_deleting_what_is_not_there_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.delete_document("nothing") is None
    store.close()


def test_a_write_that_fails_half_way_leaves_the_old_document(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "visas", "Thirty days.")
    chunks = chunk_text("Sixty days.", "visas")
    document = Document("visas", "root", "visas", "en", "new", "Sixty days.")
    with pytest.raises(ValueError, match="shorter"):
        store.replace_document(document, chunks, [], {})
    assert store.search_words("thirty", 5, EVERYTHING)
    assert store.stats() == Stats(1, 1)
    put(store, "visas", "Ninety days.")
    store.close()


def test_a_full_disk_is_a_clear_error_and_questions_are_still_answered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "visas", "Thirty days.")
    with store._database.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    # What SQLite does when no page can be had: the same code as a full disk's.
    store._database._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFailed, match="database or disk is full"):
        put(store, "long", "Words and words. " * 5_000)
    assert len(store.search_words("thirty", 5, EVERYTHING)) == 1
    store._database._writer.execute("PRAGMA max_page_count = 1000000")
    put(store, "long", "Words and words. " * 5_000)
    assert store.search_words("words", 5, EVERYTHING)
    store.close()


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\1" * 5_000)
    with pytest.raises(StorageFailed, match="file is not a database; restore a copy of it"):
        Store(tmp_path)
    # As the message advises.
    (tmp_path / FILE_NAME).rename(tmp_path / "damaged")
    Store(tmp_path).close()


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageFailed, match="schema 99"):
        Store(tmp_path)


SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id TEXT PRIMARY KEY, root TEXT NOT NULL, title TEXT NOT NULL, language TEXT NOT NULL,
    content_hash TEXT NOT NULL, text TEXT NOT NULL,
    uri TEXT, source TEXT, effective_date TEXT, checked TEXT
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
    position INTEGER NOT NULL, section TEXT NOT NULL, page INTEGER,
    start INTEGER NOT NULL, end INTEGER NOT NULL, text TEXT NOT NULL,
    vector_key TEXT NOT NULL
);
CREATE INDEX chunks_of_document ON chunks (document_id);
CREATE INDEX chunks_of_vector ON chunks (vector_key);
CREATE TABLE vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(body, tokenize='unicode61');
INSERT INTO documents VALUES
    ('visas', 'root', 'Visas', 'en', 'hash', 'Thirty days.', NULL, 'Law', '2025-06-05', NULL);
INSERT INTO chunks VALUES (7, 'visas', 0, 'Visas', NULL, 0, 12, 'Thirty days.', 'key');
INSERT INTO vectors VALUES ('key', zeroblob(1536));
INSERT INTO words (rowid, body) VALUES (7, 'visas thirty days');
PRAGMA user_version = 1;
"""


def test_a_database_of_the_first_schema_is_brought_up_in_place(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(SCHEMA_1)
    connection.close()
    for _ in range(2):
        store = Store(tmp_path)
        assert store.document("visas") == Document(
            *("visas", "root", "Visas", "en", "hash", "Thirty days.", None, "Law", "2025-06-05"),
            access="public",
            collection=None,
        )
        (found,) = store.search_words("thirty", 5, EVERYTHING)
        assert store.passages([found], EVERYTHING)[found].effective_date == "2025-06-05"
        assert store.passages([found], EVERYTHING)[found].kind == "body"
        put(store, "new", "Sixty days.")
        assert store.stats() == Stats(2, 2)
        store.close()


SCHEMA_6 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id TEXT PRIMARY KEY, root TEXT NOT NULL, title TEXT NOT NULL, language TEXT NOT NULL,
    content_hash TEXT NOT NULL, uri TEXT, source TEXT, effective_date TEXT, checked TEXT,
    collection TEXT, access TEXT NOT NULL DEFAULT 'public', supersedes TEXT, jurisdiction TEXT,
    marks TEXT NOT NULL DEFAULT '', text TEXT NOT NULL DEFAULT ''
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    document_id TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
    position INTEGER NOT NULL, section TEXT NOT NULL, page INTEGER,
    start INTEGER NOT NULL, end INTEGER NOT NULL, text TEXT NOT NULL,
    vector_key TEXT NOT NULL, kind TEXT NOT NULL DEFAULT 'body', last_page INTEGER
);
CREATE INDEX sections ON chunks (document_id, section, position);
CREATE INDEX explanations ON chunks (document_id, position) WHERE kind = 'explanation';
CREATE INDEX chunks_of_vector ON chunks (vector_key);
CREATE TABLE vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE pending_vectors (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
    document_id TEXT NOT NULL, position INTEGER NOT NULL, caller TEXT NOT NULL
);
CREATE INDEX pending_of_caller ON pending_vectors (caller, position, chunk_id);
CREATE INDEX pending_of_document ON pending_vectors (document_id);
CREATE VIRTUAL TABLE words USING fts5(body, tokenize='unicode61');
INSERT INTO meta VALUES ('words', '4');
INSERT INTO documents VALUES
    ('visas', 'root', 'Visas', 'en', 'hash', NULL, 'Law', NULL, NULL,
     NULL, 'public', NULL, NULL, '', 'Thirty days. Sixty days.'),
    ('empty', 'root', 'Empty', 'en', 'none', NULL, NULL, NULL, NULL,
     NULL, 'public', NULL, NULL, '', '');
INSERT INTO chunks VALUES
    ((7000000 << 18) + 0, 'visas', 0, 'Visas', NULL, 0, 12, 'Thirty days.', 'one', 'body', NULL),
    ((7000000 << 18) + 1, 'visas', 1, 'Visas', 3, 13, 24, 'Sixty days.', 'two', 'explanation', 4);
INSERT INTO vectors VALUES ('one', zeroblob(1536));
INSERT INTO pending_vectors VALUES ((7000000 << 18) + 1, 'visas', 1, 'key a');
INSERT INTO words (rowid, body) VALUES
    ((7000000 << 18) + 0, 'passagesinen enʘzyxw'), ((7000000 << 18) + 1, 'passagesinen sixty');
PRAGMA user_version = 6;
"""


def test_a_database_of_the_sixth_schema_keeps_its_chunks_words_and_what_waits(
    tmp_path: Path,
) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(SCHEMA_6)
    connection.close()
    first = 7_000_000 << POSITION_BITS
    for _ in range(2):
        store = Store(tmp_path)
        # "zyxw": the words are as they were.
        assert store.search_words("zyxw", 5, EVERYTHING) == [first]
        found = store.passages([first, first + 1], EVERYTHING)
        assert [passage.text for passage in found.values()] == ["Thirty days.", "Sixty days."]
        assert (found[first + 1].kind, found[first + 1].last_page) == ("explanation", 4)
        assert store.chunk_ids() == {Partition("en", "public", False): {first}}
        assert store.pending.by_caller() == {"key a": 1}
        assert list(store.pending.next_texts("key a", 5).values()) == ["Visas\nSixty days."]
        assert store.stats() == Stats(2, 2)
        store.close()


def test_a_store_that_shared_its_documents_keeps_them_and_forgets_the_relay(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(
        f"{SCHEMA_6}"
        "CREATE TABLE shared (document_id TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID;"
        "INSERT INTO shared VALUES ('visas', NULL);"
        "INSERT INTO meta VALUES ('server', 'generation'); PRAGMA user_version = 4;"
    )
    Store(tmp_path).close()
    tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'shared'").fetchall()
    server = connection.execute("SELECT value FROM meta WHERE key = 'server'").fetchall()
    connection.close()
    assert (tables, server) == ([], [])
    store = Store(tmp_path)
    assert store.stats() == Stats(2, 2)
    store.close()


def test_what_is_known_of_a_document_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    document = Document(
        *("perda", "root", "Perda", "id", "hash", "Pasal 1.", "https://x.id", "Law"),
        *("2025-06-05", "2026-01-01", "laws", "staff", "old-perda", "regional", "no title\nold"),
    )
    scope = Scope(SearchFilters(), frozenset({"staff"}))
    chunk = Chunk("Perda", 0, 8, "Pasal 1.", page=3, kind="explanation", last_page=4)
    change = store.replace_document(document, [chunk], ["key"], {"key": np.ones(384, np.float32)})
    found = change.added[0].chunk_id
    passage = store.passages([found], scope)[found]
    assert store.passages([found], EVERYTHING) == {}
    assert store.document("perda") == document
    assert (passage.page, passage.last_page) == (3, 4)
    assert (passage.kind, passage.jurisdiction) == ("explanation", "regional")
    store.close()


def test_another_embedders_store_is_refused(tmp_path: Path, embedder: E5Embedder) -> None:
    store = Store(tmp_path)
    store.claim_embedder(embedder)
    store.claim_embedder(embedder)
    with pytest.raises(EmbedderMismatch, match="zantara ingest --rebuild"):
        store.claim_embedder(OtherEmbedder(embedder))
    store.close()


def test_a_document_without_vectors_is_found_by_its_words_and_waits_for_them(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    texts = ["Thirty days.", "Sixty days.", "Thirty days."]
    chunks = [Chunk("Visas", 0, 12, text) for text in texts]
    document = Document("visas", "root", "visas", "en", "hash", "")
    change = store.replace_document(document, chunks, texts, {}, caller="key a")
    assert change.added == []
    assert len(store.search_words("thirty", 5, EVERYTHING)) == 2
    assert store.chunk_ids() == {}
    assert store.pending.by_caller() == {"key a": 3}
    assert list(store.pending.next_texts("key a", 10)) == ["Thirty days.", "Sixty days."]
    store.close()

    store = Store(tmp_path)
    vector = np.ones(384, np.float32)
    settled = store.add_vectors({"Thirty days.": vector, "nobody's": vector})
    assert len(settled.added) == 2
    assert store.pending.by_caller() == {"key a": 1}
    assert len(store.chunk_ids()[Partition("en", "public", False)]) == 2
    store.delete_document("visas")
    assert store.pending.by_caller() == {}
    assert store.add_vectors({"Sixty days.": vector}).added == []
    assert vectors_in(tmp_path) == 0
    store.close()


def test_the_beginnings_of_documents_are_next_whatever_their_size(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, passages in (("long", 30), ("short", 2)):
        texts = [f"{name} {n}" for n in range(passages)]
        chunks = [Chunk(name, 0, 1, text) for text in texts]
        document = Document(name, "root", name, "en", "hash", name)
        store.replace_document(document, chunks, texts, {}, caller="key a")
    found = set(store.pending.next_texts("key a", 4))
    assert found == {"long 0", "long 1", "short 0", "short 1"}
    store.close()


def test_what_a_rebuild_left_is_gone_when_it_was_not_finished(
    tmp_path: Path, embedder: E5Embedder
) -> None:
    store = Store(tmp_path)
    store.claim_embedder(embedder)
    put(store, "visas", "Thirty days.")
    store.keep_vectors({"another's": np.ones(384, np.float32)})
    assert vectors_in(tmp_path) == 2
    store.claim_embedder(embedder)
    assert vectors_in(tmp_path) == 1
    store.close()
