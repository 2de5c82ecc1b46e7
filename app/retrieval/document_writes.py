"""How documents come into the store and leave it: in short transactions, so that nobody waits long.

Chunks are written and dropped a slice at a time, under a number that no document has meanwhile
(`hidden`). The transaction that gives a document its number, or takes it away, makes the switch:
before it the old text is found, after it the new one. What a process that was killed leaves hidden
is dropped like everything else that is.
"""

import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from hashlib import blake2b
from itertools import count

from app.retrieval import erasure, fingerprints, pending_vectors, vector_rows
from app.retrieval.chunking import Chunk
from app.retrieval.database import Database
from app.retrieval.embedder import Vectors
from app.retrieval.fingerprints import Fingerprint
from app.retrieval.lexical_index import LexicalIndex
from app.retrieval.records import POSITION_BITS, Change, Document

SLICE = 50
"""Chunks in one transaction: 20 ms, and 50 on a busy machine."""

DOCUMENT_COLUMNS = ", ".join(field.name for field in fields(Document))
_DOCUMENT_MARKS = ", ".join("?" for _ in fields(Document))


@dataclass(slots=True)
class Draft:
    """A document of which all but the last slice is written, and nothing is found yet."""

    document: Document
    rows: deque[tuple[int, Chunk, str, str]]  # position, chunk, key of its vector, words
    vectors: Mapping[str, Vectors]
    fingerprint: Fingerprint | None
    caller: str
    number: int | None = None


class DocumentWrites:
    """Safe to use from any thread; calls block and raise `StorageFailed`."""

    def __init__(self, database: Database, lexical: LexicalIndex) -> None:
        self._database = database
        self._lexical = lexical
        # Hidden numbers that are not to be dropped.
        self._being_written: set[int] = set()

    @contextmanager
    def draft(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        keys: Sequence[str],
        vectors: Mapping[str, Vectors],
        fingerprint: Fingerprint | None,
        caller: str,
        words: Sequence[str],
    ) -> Iterator[Draft]:
        """Write all but the last slice, for `publish` within the block; else it is dropped."""
        if len(chunks) > 1 << POSITION_BITS:
            most = 1 << POSITION_BITS
            raise ValueError(f"{document.id} has {len(chunks)} chunks, at most {most} fit")
        rows = deque(zip(range(len(chunks)), chunks, keys, words, strict=True))
        draft = Draft(document, rows, vectors, fingerprint, caller)
        try:
            while len(draft.rows) > SLICE:
                with self._database.transaction(changes_content=False) as connection:
                    self._add_slice(connection, draft)
            yield draft
        finally:
            if draft.number is not None:
                self._being_written.discard(draft.number)

    def publish(self, draft: Draft) -> Change:
        """Put the document in the place of the one with its id, if any."""
        document = draft.document
        with self._database.transaction() as connection:
            number = self._add_slice(connection, draft)
            affected = {document.id, document.supersedes or document.id}
            affected |= vector_rows.affected(connection, document.id)
            before = vector_rows.places(connection, affected)
            self._hide(connection, document.id)
            connection.execute(
                f"INSERT INTO documents (number, {DOCUMENT_COLUMNS}) VALUES (?, {_DOCUMENT_MARKS})",  # noqa: S608 - our own names
                (number, *astuple(document)),
            )
            if draft.fingerprint:
                fingerprints.add(connection, document.id, draft.fingerprint)
            connection.execute("DELETE FROM hidden WHERE number = ?", (number,))
            return vector_rows.change(connection, affected, before)

    def delete(self, document_id: str) -> Change | None:
        """Hide a document, and drop a small one; None when there is none."""
        with self._database.transaction() as connection:
            affected = vector_rows.affected(connection, document_id)
            if not affected:
                return None
            before = vector_rows.places(connection, affected)
            self._hide(connection, document_id)
            return vector_rows.change(connection, affected, before)

    def drop_hidden(self) -> None:
        """Drop all that is hidden and not being written."""
        while self._drop_next():
            pass

    def _drop_next(self) -> bool:
        with self._database.transaction(changes_content=False) as connection:
            for (number,) in connection.execute("SELECT number FROM hidden").fetchall():
                if number not in self._being_written:
                    self._drop_slice(connection, number)
                    return True
        return False

    def _add_slice(self, connection: sqlite3.Connection, draft: Draft) -> int:
        """Add a slice under the draft's number, which is drawn for the first."""
        if draft.number is None:
            draft.number = _free_number(connection, draft.document)
            connection.execute("INSERT INTO hidden VALUES (?)", (draft.number,))
            self._being_written.add(draft.number)
        number, first = draft.number, draft.number << POSITION_BITS
        rows = [draft.rows.popleft() for _ in range(min(SLICE, len(draft.rows)))]
        if not rows:
            return number
        keys = {key for _, _, key, _ in rows}
        vector_rows.insert(connection, {k: draft.vectors[k] for k in keys if k in draft.vectors})
        connection.executemany(
            "INSERT INTO chunks "
            "(id, number, position, section, start, end, text, page, kind, last_page, vector_key) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((first + place, number, place, *astuple(chunk), key) for place, chunk, key, _ in rows),
        )
        self._lexical.add(connection, ((first + place, words) for place, _, _, words in rows))
        pending_vectors.note(connection, first + rows[0][0], first + rows[-1][0], draft.caller)
        return number

    def _hide(self, connection: sqlite3.Connection, document_id: str) -> None:
        """Forget a document, if there is one, and drop the first slice of its chunks."""
        row = connection.execute(
            "DELETE FROM documents WHERE id = ? RETURNING number", (document_id,)
        ).fetchone()
        if row:
            connection.execute("INSERT INTO hidden VALUES (?)", row)
            self._drop_slice(connection, row[0])

    def _drop_slice(self, connection: sqlite3.Connection, number: int) -> None:
        """Drop a slice of hidden chunks, or all that are left."""
        erasure.note_deletion(connection)
        chunks = connection.execute(
            "SELECT id, vector_key FROM chunks WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
            (number << POSITION_BITS, (number + 1 << POSITION_BITS) - 1, SLICE),
        ).fetchall()
        if chunks:
            self._lexical.remove(connection, [chunk[0] for chunk in chunks])
            connection.execute(
                "DELETE FROM chunks WHERE id BETWEEN ? AND ?", (chunks[0][0], chunks[-1][0])
            )
            vector_rows.drop_unused(connection, [chunk[1] for chunk in chunks])
        if len(chunks) < SLICE:
            connection.execute("DELETE FROM hidden WHERE number = ?", (number,))


def _free_number(connection: sqlite3.Connection, document: Document) -> int:
    """45 bits: the same document has the same everywhere, unless its old chunks still have it."""
    whole = f"{document.id}\0{document.content_hash}\0{document.text}".encode()
    for attempt in count():
        digest = blake2b(whole, digest_size=8, salt=attempt.to_bytes(16, "little")).digest()
        number = int.from_bytes(digest) >> (POSITION_BITS + 1)
        taken = connection.execute(
            "SELECT 1 FROM documents WHERE number = ?1 "
            "UNION ALL SELECT 1 FROM hidden WHERE number = ?1",
            (number,),
        ).fetchone()
        if not taken:
            return number
    raise AssertionError("unreachable: the attempts have no end")
