"""Passages and their sections, as they are read out of the store."""

from collections.abc import Collection, Sequence
from typing import Any

from app.events import Passage, Section
from app.retrieval.database import Database
from app.retrieval.filters import Scope

_PASSAGES = (
    "SELECT c.id, d.id, d.title, c.section, c.text, 0.0, c.start, c.end, d.language, "
    "c.page, d.uri, d.effective_date, c.kind, d.jurisdiction, c.last_page "
    "FROM chunks c JOIN documents d ON d.number = c.number"
)


def passages(database: Database, chunk_ids: Collection[int], scope: Scope) -> dict[int, Passage]:
    """Passages by chunk id, without a score; what is gone or out of scope is left out."""
    condition, parameters = scope.condition()
    query = f"{_PASSAGES} WHERE {condition} AND c.id IN ({{}})"
    return {row[0]: Passage(*row[1:]) for row in database.paged(query, chunk_ids, parameters)}


def sections(database: Database, found: Sequence[Passage]) -> dict[int, Section]:
    """The whole section round each passage that is only a part of one, by its place."""
    whole: dict[int, Section] = {}
    with database.read() as connection:
        for place, passage in enumerate(found):
            pieces = connection.execute(
                "SELECT position, start, end, text FROM chunks "
                "WHERE number = (SELECT number FROM documents WHERE id = ?) AND section = ? "
                "ORDER BY position",
                (passage.document_id, passage.section),
            ).fetchall()
            run = _run_round(pieces, passage.start)
            if len(run) > 1:
                text = "\n".join(piece[3] for piece in run)
                whole[place] = Section(run[0][1], run[-1][2], text)
    return whole


def _run_round(pieces: Sequence[tuple[Any, ...]], start: int) -> list[tuple[Any, ...]]:
    """The piece that begins at `start`, with those that follow one another round it.

    Two sections of a document may have one heading; a piece is (position, start, …).
    """
    run: list[tuple[Any, ...]] = []
    for piece in pieces:
        if run and piece[0] != run[-1][0] + 1:
            if any(member[1] == start for member in run):
                break
            run = []
        run.append(piece)
    return run if any(member[1] == start for member in run) else []
