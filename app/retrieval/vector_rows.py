"""Vectors as the store keeps them: rows with the partition of the index that they belong to.

The functions that write work on a connection, within the store's transaction.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from app.retrieval.database import PAGE, Database
from app.retrieval.embedder import Vectors
from app.retrieval.filters import SUPERSEDED
from app.retrieval.records import Change, Partition, StoredVector

_PARTITION = f"d.language, d.access, {SUPERSEDED}"
_VECTORS = (
    f"SELECT c.id, d.id, v.vector, {_PARTITION} FROM chunks c "  # noqa: S608 - our own names
    "JOIN documents d ON d.number = c.number JOIN vectors v ON v.key = c.vector_key"
)


def of_chunks(database: Database, chunk_ids: Collection[int]) -> Iterator[StoredVector]:
    """The chunks with their vectors, in no order."""
    return map(_row, database.paged(f"{_VECTORS} WHERE c.id IN ({{}})", chunk_ids))


def pages(database: Database) -> Iterator[list[StoredVector]]:
    """Every chunk with its vector, a page at a time."""
    last = 0
    while True:
        with database.read() as connection:
            rows = connection.execute(
                f"{_VECTORS} WHERE c.id > ? ORDER BY c.id LIMIT ?", (last, PAGE)
            ).fetchall()
        if not rows:
            return
        yield [_row(row) for row in rows]
        last = rows[-1][0]


def chunk_ids(database: Database) -> dict[Partition, set[int]]:
    """The ids of all chunks that have a vector, by partition."""
    with database.read() as connection:
        partitions = {
            row[0]: _partition(row[1:])
            for row in connection.execute(f"SELECT d.number, {_PARTITION} FROM documents d")  # noqa: S608 - our own names
        }
        chunks = connection.execute(
            "SELECT number, id FROM chunks WHERE id NOT IN (SELECT chunk_id FROM pending_vectors)"
        ).fetchall()
    by_partition: dict[Partition, set[int]] = {}
    for number, chunk_id in chunks:
        if number in partitions:  # not what is hidden
            by_partition.setdefault(partitions[number], set()).add(chunk_id)
    return by_partition


def among(connection: sqlite3.Connection, chunk_ids_json: str) -> Iterator[StoredVector]:
    """The chunks of a JSON list of ids, in no order."""
    query = f"{_VECTORS} WHERE c.id IN (SELECT value FROM json_each(?))"  # noqa: S608 - our own names
    return map(_row, connection.execute(query, (chunk_ids_json,)))


def places(
    connection: sqlite3.Connection, document_ids: Collection[str]
) -> set[tuple[Partition, int]]:
    """Where those chunks of documents that have a vector are in an index."""
    found = set()
    for document_id in document_ids:
        row = connection.execute(
            f"SELECT d.number, {_PARTITION} FROM documents d WHERE d.id = ?",  # noqa: S608 - our own names
            (document_id,),
        ).fetchone()
        if row:
            partition = _partition(row[1:])
            chunks = connection.execute(
                "SELECT id FROM chunks WHERE number = ? EXCEPT "
                "SELECT chunk_id FROM pending_vectors WHERE number = ?",
                (row[0], row[0]),
            )
            found |= {(partition, chunk_id) for (chunk_id,) in chunks}
    return found


def affected(connection: sqlite3.Connection, document_id: str) -> set[str]:
    """A stored document, and the one that it supersedes: removed, it gives that one back."""
    row = connection.execute(
        "SELECT id, supersedes FROM documents WHERE id = ?", (document_id,)
    ).fetchone()
    return {name for name in row or () if name}


def change(
    connection: sqlite3.Connection,
    document_ids: Collection[str],
    before: Set[tuple[Partition, int]],
) -> Change:
    """What became of documents whose chunks were in these places before."""
    now = places(connection, document_ids)
    removed: dict[Partition, list[int]] = {}
    for partition, chunk_id in before - now:
        removed.setdefault(partition, []).append(chunk_id)
    added = json.dumps([chunk_id for _, chunk_id in now - before])
    return Change(list(among(connection, added)), removed)


def insert(connection: sqlite3.Connection, vectors: Mapping[str, Vectors]) -> None:
    """Keep vectors by key; one that is there already is left."""
    connection.executemany(
        "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
        ((key, vector.tobytes()) for key, vector in vectors.items()),
    )


def drop_unused(connection: sqlite3.Connection, keys: Collection[str]) -> None:
    """Forget the vectors that no chunk has any more."""
    connection.executemany(
        "DELETE FROM vectors WHERE key = ?1 "
        "AND NOT EXISTS (SELECT 1 FROM chunks WHERE vector_key = ?1)",
        ((key,) for key in keys),
    )


def drop_all_unused(connection: sqlite3.Connection) -> None:
    """Forget every vector that no chunk has: reads the whole table."""
    connection.execute("DELETE FROM vectors WHERE key NOT IN (SELECT vector_key FROM chunks)")


def decode(blob: bytes) -> Vectors:
    """A vector as `insert` wrote it."""
    return np.frombuffer(blob, dtype=np.float32)


def _partition(columns: Sequence[Any]) -> Partition:
    language, access, superseded = columns
    return Partition(language, access, bool(superseded))


def _row(row: tuple[Any, ...]) -> StoredVector:
    return StoredVector(row[0], row[1], _partition(row[3:]), decode(row[2]))
