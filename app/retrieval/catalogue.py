"""What documents there are, as lists and as single entries."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from app.events import ChunkKind, Jurisdiction
from app.retrieval.database import Database
from app.retrieval.filters import SUPERSEDED, Scope
from app.retrieval.pending_vectors import MAX_REFUSALS
from app.retrieval.records import PUBLIC


@dataclass(frozen=True, slots=True)
class Entry:
    """A document without its text; `characters` is the text's length, dates are ISO.

    `supersedes_found` is false where nobody finds the document that it supersedes.
    `pending_vectors` counts the chunks that are found by their words alone for now,
    `refused_by_embedder` those of which it stays so.
    """

    id: str
    root: str
    title: str
    language: str
    collection: str | None
    access: str
    uri: str | None
    source: str | None
    effective_date: str | None
    checked: str | None
    supersedes: str | None
    jurisdiction: Jurisdiction | None
    marks: str
    supersedes_found: bool
    superseded: bool
    chunks: int
    pending_vectors: int
    refused_by_embedder: int
    characters: int


class Totals(NamedTuple):
    """Documents, and their chunks that have no vector yet."""

    documents: int
    pending_vectors: int


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive passages under one heading, by their characters in the text."""

    section: str
    start: int
    end: int
    page: int | None
    kind: ChunkKind


_COMPUTED = {
    # What only others may read is not told of.
    "supersedes_found": (
        "d.supersedes IS NULL OR EXISTS (SELECT 1 FROM documents older "
        "WHERE older.id = d.supersedes AND older.access IN ('public', d.access))"
    ),
    "superseded": SUPERSEDED,
    "chunks": "(SELECT count(*) FROM chunks c WHERE c.number = d.number)",
    "pending_vectors": (
        "(SELECT count(*) FROM pending_vectors p "  # noqa: S608 - our own names
        f"WHERE p.number = d.number AND p.refusals < {MAX_REFUSALS})"
    ),
    "refused_by_embedder": (
        "(SELECT count(*) FROM pending_vectors p "  # noqa: S608 - our own names
        f"WHERE p.number = d.number AND p.refusals >= {MAX_REFUSALS})"
    ),
    "characters": "length(d.text)",
}
_ENTRY = ", ".join(_COMPUTED.get(field.name, f"d.{field.name}") for field in fields(Entry))


class Catalogue:
    """Reads what a caller may see; for the event loop. Raises `StorageFailed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(
        self, scope: Scope, limit: int, offset: int = 0, root: str | None = None
    ) -> tuple[list[Entry], Totals]:
        """A page of documents by id, and what there is on all pages.

        `root` narrows them to those ingested from there, or from within it.
        """
        condition, parameters = scope.condition()
        if root:
            # Not LIKE, for which % and _ in a path stand for other letters.
            condition += " AND (d.root = ? OR substr(d.root, 1, length(?)) = ?)"
            parameters += [root, f"{root}/", f"{root}/"]
        where = f"FROM documents d WHERE {condition}"
        values = tuple(parameters)
        waiting = (
            "SELECT count(*) FROM pending_vectors "  # noqa: S608 - our own names
            f"WHERE refusals < {MAX_REFUSALS} AND number IN (SELECT d.number {where})"
        )
        counted = await self._rows(f"SELECT count(*), ({waiting}) {where}", *values, *values)
        page = f"SELECT {_ENTRY} {where} ORDER BY d.id LIMIT ? OFFSET ?"
        rows = await self._rows(page, *values, limit, offset)
        return [_entry(row) for row in rows], Totals(*counted[0])

    async def entry(self, document_id: str, groups: frozenset[str]) -> Entry | None:
        """None when there is no such document, or not for these groups."""
        query = f"SELECT {_ENTRY} FROM documents d WHERE d.id = ?"  # noqa: S608 - our own columns
        rows = await self._rows(query, document_id)
        entry = _entry(rows[0]) if rows else None
        return entry if entry and entry.access in groups else None

    async def groups(self) -> frozenset[str]:
        """The access groups that any document is for, and the public."""
        rows = await self._rows("SELECT DISTINCT access FROM documents")
        return frozenset({PUBLIC, *(row[0] for row in rows)})

    async def parts(self, document_id: str) -> list[Part]:
        """What a document is made of, in order."""
        rows = await self._rows(
            "SELECT section, start, end, page, kind FROM chunks "
            "WHERE number = (SELECT number FROM documents WHERE id = ?) ORDER BY position",
            document_id,
        )
        return _joined([Part(*row) for row in rows])

    async def text(self, document_id: str) -> str | None:
        """A document's text, in which its passages' offsets count; None when there is none."""
        rows = await self._rows("SELECT text FROM documents WHERE id = ?", document_id)
        return rows[0][0] if rows else None

    async def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        def blocking() -> list[tuple[Any, ...]]:
            with self._database.read() as connection:
                return connection.execute(query, values).fetchall()

        return await asyncio.to_thread(blocking)


def _entry(row: Sequence[Any]) -> Entry:
    entry = Entry(*row)
    # SQLite has no truth values.
    return replace(
        entry,
        supersedes_found=bool(entry.supersedes_found),
        superseded=bool(entry.superseded),
    )


def _joined(parts: Sequence[Part]) -> list[Part]:
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and (last.section, last.kind) == (part.section, part.kind):
            joined[-1] = Part(last.section, last.start, part.end, last.page, last.kind)
        else:
            joined.append(part)
    return joined
