"""BM25 over folded, shortened words, in the store's own database file (SQLite FTS5).

Every method works on a connection of the store's, so that a passage and its
words are written in one transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise

from app.retrieval.filters import Scope
from app.retrieval.stop_words import STOP_WORDS
from app.retrieval.words import fold, shorten, tokens

SCHEMA = "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(body, tokenize='unicode61')"


class LexicalIndex:
    """Ranks passages by the words they share with a question."""

    def add(self, connection: sqlite3.Connection, rows: Iterable[tuple[int, str]]) -> None:
        """Index `(chunk id, text)` rows; the caller owns the transaction."""
        connection.executemany(
            "INSERT INTO words (rowid, body) VALUES (?, ?)",
            ((chunk_id, " ".join(tokens(text))) for chunk_id, text in rows),
        )

    def remove(self, connection: sqlite3.Connection, chunk_ids: Iterable[int]) -> None:
        """Forget chunks; the caller owns the transaction."""
        connection.executemany(
            "DELETE FROM words WHERE rowid = ?", ((chunk_id,) for chunk_id in chunk_ids)
        )

    def search(
        self,
        connection: sqlite3.Connection,
        question: str,
        limit: int,
        scope: Scope,
        terms: Sequence[str] = (),
    ) -> list[int]:
        """Chunk ids, best first, at most `limit`; see `match_expression`."""
        expression = match_expression(question, terms)
        if not expression:
            return []
        condition, parameters = scope.condition()
        found = connection.execute(
            # Only placeholders and our own column names are pasted in.
            "SELECT words.rowid FROM words JOIN chunks c ON c.id = words.rowid "  # noqa: S608
            f"JOIN documents d ON d.id = c.document_id WHERE words MATCH ? AND {condition} "
            "ORDER BY bm25(words), words.rowid LIMIT ?",
            (expression, *parameters, limit),
        )
        return [row[0] for row in found]


def match_expression(question: str, terms: Sequence[str] = ()) -> str:
    """The question and further terms as an FTS5 expression in which nothing is syntax.

    Neighbours of which one holds a digit are also looked for side by side:
    `Pasal 33`, `KBLI 56101` and `28/2025` are names, not two words each. A term of
    several words is looked for as such.
    """
    words = fold(question)
    telling = [word for word in words if word not in STOP_WORDS] or words
    stems = [shorten(word) for word in telling]
    names = [f"{a} {b}" for a, b in pairwise(stems) if _has_digit(a) or _has_digit(b)]
    phrases = [" ".join(tokens(term)) for term in terms]
    return " OR ".join(f'"{term}"' for term in dict.fromkeys(stems + names + phrases))


def _has_digit(word: str) -> bool:
    return any(c.isdigit() for c in word)
