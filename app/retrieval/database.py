"""The SQLite file: schema, connections, transactions, and what its errors mean."""

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from app.errors import StorageFailed
from app.limits import FairLock, caller_name
from app.retrieval import fingerprints

FILE_NAME = "zantara.db"
SCHEMA_VERSION = 7
# A page of vectors is 1.5 MB, and well below SQLite's 32,766 placeholders.
PAGE = 1_000

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, root TEXT NOT NULL, title TEXT NOT NULL, language TEXT NOT NULL,
    content_hash TEXT NOT NULL, uri TEXT, source TEXT, effective_date TEXT, checked TEXT,
    collection TEXT, access TEXT NOT NULL DEFAULT 'public', supersedes TEXT, jurisdiction TEXT,
    marks TEXT NOT NULL DEFAULT '',
    -- Of its chunks: they are the document's once it has their number.
    number INTEGER NOT NULL,
    -- Last: what lies behind it is reached through all of its pages.
    text TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS numbers ON documents (number);
-- Numbers of chunks that no document has: it is being written, or it was deleted or replaced.
CREATE TABLE IF NOT EXISTS hidden (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS chunks (
    -- The number and the position. The number is made from the document's text: an id found in
    -- a derived index means this very chunk or one that is gone.
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL, position INTEGER NOT NULL, section TEXT NOT NULL, page INTEGER,
    start INTEGER NOT NULL, end INTEGER NOT NULL, text TEXT NOT NULL,
    vector_key TEXT NOT NULL, kind TEXT NOT NULL DEFAULT 'body', last_page INTEGER
);
CREATE INDEX IF NOT EXISTS successors ON documents (supersedes) WHERE supersedes IS NOT NULL;
-- What scopes ask for: the rows of the table, each with the text's beginning, fill a page each.
CREATE INDEX IF NOT EXISTS scopes
    ON documents (id, language, access, collection, effective_date);
CREATE INDEX IF NOT EXISTS sections ON chunks (number, section, position);
CREATE INDEX IF NOT EXISTS explanations ON chunks (number, position)
    WHERE kind = 'explanation';
CREATE INDEX IF NOT EXISTS chunks_of_vector ON chunks (vector_key);
CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
-- Chunks that have no vector yet, with the caller whose turn of the embedder they wait for.
CREATE TABLE IF NOT EXISTS pending_vectors (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
    number INTEGER NOT NULL, position INTEGER NOT NULL, caller TEXT NOT NULL,
    -- How often the embedder refused the text alone.
    refusals INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS pending_of_caller
    ON pending_vectors (caller, refusals, position, chunk_id);
CREATE INDEX IF NOT EXISTS pending_of_document ON pending_vectors (number, caller, refusals);
-- Of the lexical index.
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(body, tokenize='unicode61');
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab('words', 'row');
CREATE VIRTUAL TABLE IF NOT EXISTS occurrences USING fts5vocab('words', 'instance');
{fingerprints.SCHEMA}
"""

# From the version to the next one.
_MIGRATIONS = {
    1: """
    ALTER TABLE documents ADD COLUMN collection TEXT;
    ALTER TABLE documents ADD COLUMN access TEXT NOT NULL DEFAULT 'public';
    ALTER TABLE documents ADD COLUMN supersedes TEXT;
    ALTER TABLE documents ADD COLUMN jurisdiction TEXT;
    ALTER TABLE documents ADD COLUMN marks TEXT NOT NULL DEFAULT '';
    ALTER TABLE chunks ADD COLUMN kind TEXT NOT NULL DEFAULT 'body';
    """,
    2: """
    ALTER TABLE documents ADD COLUMN last TEXT NOT NULL DEFAULT '';
    UPDATE documents SET last = text;
    ALTER TABLE documents DROP COLUMN text;
    ALTER TABLE documents RENAME COLUMN last TO text;
    """,
    3: "ALTER TABLE chunks ADD COLUMN last_page INTEGER;",
    # What was to be sent through a Chroma server, and its identity.
    4: "DROP TABLE IF EXISTS shared; DELETE FROM meta WHERE key = 'server';",
    # Of uploads that were given up.
    5: "DELETE FROM vectors WHERE key NOT IN (SELECT vector_key FROM chunks);",
    # Chunks are their document's by its number. The first versions counted them, which made small
    # ids: they are numbered, and their words made once more.
    6: """
    ALTER TABLE documents ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE documents SET number = coalesce(
        (SELECT min(id) >> 18 FROM chunks WHERE document_id = documents.id), 0);
    UPDATE documents SET number = abs(random()) >> 18 WHERE number < 1048576;
    ALTER TABLE documents ADD COLUMN last TEXT NOT NULL DEFAULT '';
    UPDATE documents SET last = text;
    ALTER TABLE documents DROP COLUMN text;
    ALTER TABLE documents RENAME COLUMN last TO text;
    CREATE TABLE numbered (
        id INTEGER PRIMARY KEY, number INTEGER NOT NULL, position INTEGER NOT NULL,
        section TEXT NOT NULL, page INTEGER,
        start INTEGER NOT NULL, end INTEGER NOT NULL, text TEXT NOT NULL,
        vector_key TEXT NOT NULL, kind TEXT NOT NULL DEFAULT 'body', last_page INTEGER
    );
    INSERT INTO numbered SELECT (d.number << 18) + c.position, d.number, c.position,
        c.section, c.page, c.start, c.end, c.text, c.vector_key, c.kind, c.last_page
        FROM chunks c JOIN documents d ON d.id = c.document_id;
    DELETE FROM meta WHERE key = 'words'
        AND EXISTS (SELECT 1 FROM chunks WHERE id NOT IN (SELECT id FROM numbered));
    DROP TABLE chunks;
    ALTER TABLE numbered RENAME TO chunks;
    CREATE TABLE IF NOT EXISTS pending_vectors (document_id TEXT, position INTEGER, caller TEXT);
    CREATE TABLE waiting AS SELECT document_id, position, caller FROM pending_vectors;
    DROP TABLE pending_vectors;
    CREATE TABLE pending_vectors (
        chunk_id INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
        number INTEGER NOT NULL, position INTEGER NOT NULL, caller TEXT NOT NULL,
        refusals INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO pending_vectors
        SELECT (d.number << 18) + w.position, d.number, w.position, w.caller, 0
        FROM waiting w JOIN documents d ON d.id = w.document_id;
    DROP TABLE waiting;
    """,
}

# SQLite's primary result codes that tell of the machine and not of a bug of ours.
_ENVIRONMENT = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
    }
)


_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_AFTER_DAMAGE = (
    "restore a copy of it (docs/deploy.md), or move it away: the bundled documents are then "
    "indexed anew, all others have to be sent again"
)


class Database:
    """One connection to read and one to write: in WAL mode a search need not wait for a write.

    Who waits to write is served by caller, see `FairLock`.

    `generation` counts the writes, so that what was read can be kept until the next one.

    Safe to use from any thread; every call blocks. Raises `StorageFailed`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._write_lock = FairLock()
        self._read_lock = threading.Lock()
        self.generation = 0
        with self._failures():
            data_dir.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            try:
                self._prepare()
                # Not before: a table that is made in the place of another is dropped first.
                self._writer.execute("PRAGMA foreign_keys = ON")
                self._reader = self._connect()
            except BaseException:
                self._writer.close()
                raise

    def close(self) -> None:
        """Close both connections; the database cannot be used afterwards."""
        with self._write_turn(), self._read_lock:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The reading connection, for the length of the block."""
        with self._read_lock, self._failures():
            yield self._reader

    def paged(
        self, query: str, values: Collection[Any], parameters: Sequence[Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of a query whose last `{}` becomes placeholders for a page of values at a time."""
        rest = iter(values)
        while page := list(islice(rest, PAGE)):
            with self.read() as connection:
                rows = connection.execute(
                    query.format(",".join("?" * len(page))), (*parameters, *page)
                ).fetchall()
            yield from rows

    @contextmanager
    def transaction(self, *, changes_content: bool = True) -> Iterator[sqlite3.Connection]:
        """The writing connection: all of the block is kept, or nothing of it.

        Where it does not change what is read, what was read is kept.
        """
        with self._write_turn(), self._failures():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
                self.generation += changes_content
            except BaseException:
                # A full disk has SQLite roll back by itself.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def truncate_log(self) -> None:
        """Move the write-ahead log into the database and empty it; reads go on meanwhile.

        It stays where another process reads it for longer than five seconds.
        """
        with self._write_turn(), self._failures():
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def vacuum(self) -> None:
        """Write the file again, without what is free in it."""
        with self._write_turn(), self._failures():
            self._writer.execute("VACUUM")

    def _write_turn(self) -> AbstractContextManager[None]:
        return self._write_lock.hold(caller_name.get())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA secure_delete = ON")
        return connection

    def _prepare(self) -> None:
        self._writer.execute("PRAGMA journal_mode = WAL")
        version: int = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StorageFailed(
                f"{self._path} has schema {version}, this version of the service knows "
                f"{SCHEMA_VERSION}: use the newer version, or set another DATA_DIR and ingest again"
            )
        # An empty file has version 0 and gets the schema as it is now.
        for step in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
            self._script(_MIGRATIONS[step], step + 1)
        self._script(_SCHEMA, SCHEMA_VERSION)

    def _script(self, statements: str, version: int) -> None:
        """All of the statements and the version that they lead to, or nothing."""
        try:
            self._writer.executescript(
                f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {version}; COMMIT;"
            )
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageFailed(f"{self._path.parent}: {error.strerror}") from error
        except sqlite3.DatabaseError as error:
            code = error.sqlite_errorcode & 0xFF  # an extended code's low byte is the primary one
            if code not in _ENVIRONMENT:
                raise
            remedy = f"; {_AFTER_DAMAGE}" if code in _DAMAGED else ""
            raise StorageFailed(f"{self._path}: {error}{remedy}") from error
