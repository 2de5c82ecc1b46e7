"""Chunks that are found by their words and have no vector yet: which they are, and what is next.

Of one caller's chunks those at the beginning of documents come first, whichever document they are
of: a small document does not wait for a large one. Every chunk's turn comes, since documents have
an end.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from app.retrieval import vector_rows
from app.retrieval.chunking import Chunk
from app.retrieval.database import Database
from app.retrieval.embedder import Vectors
from app.retrieval.records import Change


class PendingVectors:
    """Reads what waits. Safe to use from any thread; calls block and raise `StorageFailed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_caller(self) -> dict[str, int]:
        """How many chunks wait, by caller: those who have any."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT caller, count(*) FROM pending_vectors GROUP BY caller"
            )
            return dict(rows.fetchall())

    def next_texts(self, caller: str, limit: int) -> dict[str, str]:
        """Return the texts of the caller's next chunks by the keys of their vectors."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT c.vector_key, c.section, c.start, c.end, c.text "
                "FROM pending_vectors p JOIN chunks c ON c.id = p.chunk_id "
                "WHERE p.caller = ? ORDER BY p.position, p.chunk_id LIMIT ?",
                (caller, limit),
            ).fetchall()
        return {row[0]: Chunk(*row[1:]).embedded_text for row in rows}


def note(connection: sqlite3.Connection, document_id: str, caller: str) -> None:
    """Note the document's chunks that have no vector."""
    connection.execute(
        "INSERT INTO pending_vectors SELECT c.id, c.document_id, c.position, ? FROM chunks c "
        "WHERE c.document_id = ? "
        "AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.key = c.vector_key)",
        (caller, document_id),
    )


def settle(connection: sqlite3.Connection, vectors: Mapping[str, Vectors]) -> Change:
    """Keep the vectors that chunks wait for; what is gone meanwhile is passed over."""
    rows = connection.execute(
        "SELECT p.chunk_id, c.vector_key FROM chunks c JOIN pending_vectors p ON p.chunk_id = c.id "
        "WHERE c.vector_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(vectors)),),
    ).fetchall()
    chunk_ids, wanted = _distinct(rows)
    vector_rows.insert(connection, {key: vectors[key] for key in wanted})
    as_json = json.dumps(chunk_ids)
    connection.execute(
        "DELETE FROM pending_vectors WHERE chunk_id IN (SELECT value FROM json_each(?))", (as_json,)
    )
    return Change(list(vector_rows.among(connection, as_json)), {})


def _distinct(rows: Sequence[tuple[int, str]]) -> tuple[list[int], set[str]]:
    return [chunk_id for chunk_id, _ in rows], {key for _, key in rows}
