"""Chunks that are found by their words and have no vector yet: which they are, and what is next.

Of one caller's chunks those at the beginning of documents come first, whichever document they are
of: a small document does not wait for a large one. So that a large one does not wait for small ones
without end, those of the oldest document are asked for in between.

A chunk that the embedder refuses stays here, marked, as long as it is found by its words alone.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence

from app.retrieval import vector_rows
from app.retrieval.chunking import Chunk
from app.retrieval.database import Database
from app.retrieval.embedder import Vectors
from app.retrieval.records import Change

MAX_REFUSALS = 3
"""Of a text alone, by an embedder that takes others; more than one, for it may be an accident."""

_OLDEST = (
    "SELECT d.number FROM (SELECT DISTINCT number FROM pending_vectors "  # noqa: S608 - our own names
    f"WHERE caller = :caller AND refusals < {MAX_REFUSALS}) JOIN documents d USING (number) "
    "ORDER BY d.rowid LIMIT 1"
)


class PendingVectors:
    """Reads what waits. Safe to use from any thread; calls block and raise `StorageFailed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_caller(self) -> dict[str, int]:
        """How many chunks wait, by caller: those who have any."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT caller, sum(waiting) FROM (SELECT number, caller, count(*) AS waiting "
                "FROM pending_vectors WHERE refusals < ? GROUP BY number, caller) "
                "JOIN documents USING (number) GROUP BY caller",
                (MAX_REFUSALS,),
            )
            return dict(rows.fetchall())

    def next_texts(self, caller: str, limit: int, *, oldest: bool = False) -> dict[str, str]:
        """Return the texts of the caller's next chunks by the keys of their vectors.

        Args:
            caller: Whose.
            limit: How many at the most.
            oldest: Whether only those of the document that was written first.
        """
        only = f"= ({_OLDEST})" if oldest else "IN (SELECT number FROM documents)"
        query = (
            "SELECT c.vector_key, c.section, c.start, c.end, c.text "  # noqa: S608 - our own names
            "FROM pending_vectors p JOIN chunks c ON c.id = p.chunk_id "
            f"WHERE p.caller = :caller AND p.refusals < {MAX_REFUSALS} AND p.number {only} "
            "ORDER BY p.refusals, p.position, p.chunk_id LIMIT :limit"
        )
        with self._database.read() as connection:
            rows = connection.execute(query, {"caller": caller, "limit": limit}).fetchall()
        return {row[0]: Chunk(*row[1:]).embedded_text for row in rows}


def note(connection: sqlite3.Connection, first: int, last: int, caller: str) -> None:
    """Note those of the chunks with these ids and those between that have no vector."""
    connection.execute(
        "INSERT INTO pending_vectors (chunk_id, number, position, caller) "
        "SELECT c.id, c.number, c.position, ? FROM chunks c WHERE c.id BETWEEN ? AND ? "
        "AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.key = c.vector_key)",
        (caller, first, last),
    )


def refuse(connection: sqlite3.Connection, keys: Collection[str]) -> None:
    """Note that the embedder refused the texts of these keys."""
    connection.execute(
        "UPDATE pending_vectors SET refusals = refusals + 1 WHERE chunk_id IN "
        "(SELECT id FROM chunks WHERE vector_key IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(keys)),),
    )


def note_all(connection: sqlite3.Connection, caller: str) -> None:
    """Note every document's chunks that have no vector, instead of what was noted."""
    connection.execute("DELETE FROM pending_vectors")
    connection.execute(
        "INSERT INTO pending_vectors (chunk_id, number, position, caller) "
        "SELECT c.id, c.number, c.position, ? FROM chunks c JOIN documents USING (number) "
        "WHERE c.vector_key NOT IN (SELECT key FROM vectors)",
        (caller,),
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
