"""What ranking asks of documents, in memory: looked up by passage it took most of a search.

A chunk's id tells its document (`Store` makes it so): passages are read when they are
among the best, and no sooner.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from app.events import Jurisdiction
from app.retrieval.database import Database
from app.retrieval.filters import Scope
from app.retrieval.read_cache import ReadCache
from app.retrieval.records import POSITION_BITS

_SCOPES = 64


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """`explained_from` is the position of the first chunk that explains, if one does.

    `topic` is its id without the folder of its language; empty when it lies in none.
    """

    number: int
    id: str
    language: str
    jurisdiction: Jurisdiction | None
    explained_from: int | None
    topic: str

    def explains(self, chunk_id: int) -> bool:
        """Whether the chunk, one of this document's, is of the kind `explanation`."""
        position = chunk_id & ((1 << POSITION_BITS) - 1)
        return self.explained_from is not None and position >= self.explained_from


def topic_of(document_id: str, language: str) -> str:
    """What documents in several languages share; see `RankedDocument`."""
    parts = document_id.split("/")
    rest = [part for part in parts if part != language]
    return "/".join(rest) if len(rest) < len(parts) else ""


class Visible:
    """The documents within a scope."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self._numbers = np.sort(numbers)

    def mask(self, chunk_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the chunks are theirs."""
        numbers = chunk_ids >> POSITION_BITS
        if not len(self._numbers):
            return np.zeros(len(chunk_ids), dtype=bool)
        places = np.searchsorted(self._numbers, numbers)
        found: NDArray[np.bool_] = self._numbers[places % len(self._numbers)] == numbers
        return found


class DocumentCache:
    """Safe to use from any thread; blocks some milliseconds after each change. Raises
    `StorageFailed`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._documents: ReadCache[None, Mapping[int, RankedDocument]] = ReadCache(database, 1)
        self._visible: ReadCache[tuple[Scope, date], Visible] = ReadCache(database, _SCOPES)
        self._languages: ReadCache[None, list[str]] = ReadCache(database, 1)

    def documents(self) -> Mapping[int, RankedDocument]:
        """All documents by number, which is their chunks' id without the position."""
        return self._documents.get(None, self._read_documents)

    def languages(self) -> list[str]:
        """The languages that documents are in."""
        return self._languages.get(
            None, lambda: sorted({d.language for d in self.documents().values()})
        )

    def visible(self, scope: Scope) -> Visible:
        """The documents within a scope today."""
        # Another day other documents are superseded.
        return self._visible.get(
            (scope, datetime.now(UTC).date()), lambda: self._read_visible(scope)
        )

    def _read_documents(self) -> Mapping[int, RankedDocument]:
        with self._database.read() as connection:
            explained = dict(
                connection.execute(
                    "SELECT number, min(position) FROM chunks "
                    "WHERE kind = 'explanation' GROUP BY number"
                )
            )
            rows = connection.execute("SELECT number, id, language, jurisdiction FROM documents")
            return {
                number: RankedDocument(
                    number,
                    name,
                    language,
                    jurisdiction,
                    explained.get(number),
                    topic_of(name, language),
                )
                for number, name, language, jurisdiction in rows
            }

    def _read_visible(self, scope: Scope) -> Visible:
        numbers = {document.id: number for number, document in self.documents().items()}
        with self._database.read() as connection:
            ids = _ids_within(connection, scope)
        return Visible(np.array([numbers[i] for i in ids if i in numbers], dtype=np.int64))


def _ids_within(connection: sqlite3.Connection, scope: Scope) -> list[str]:
    condition, parameters = scope.condition()
    query = f"SELECT d.id FROM documents d WHERE {condition}"  # noqa: S608 - placeholders
    return [row[0] for row in connection.execute(query, parameters)]
