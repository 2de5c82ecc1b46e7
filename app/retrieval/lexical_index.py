"""BM25 over folded, shortened words, kept in the store's own database file (SQLite FTS5).

Every method works on a connection of the store's, so that a passage and its
words are written in one transaction. A word is kept as it is and, once more, behind
its passage's language (`enʘcompan`), so that a search in one language passes over the
others' passages, while one in several weighs a word by all of them: a word that is
rare in a language only because it is another's tells nothing.
"""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from app.retrieval.filters import Scope
from app.retrieval.stop_words import STOP_WORDS
from app.retrieval.words import fold, shorten, tokens

SCHEMA = """
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(body, tokenize='unicode61');
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab('words', 'row');
CREATE VIRTUAL TABLE IF NOT EXISTS occurrences USING fts5vocab('words', 'instance');
"""

# Each passage that holds a word costs 1 µs to rank, and what more passages than this
# hold tells little: on 84 questions with translations Recall@10 is .93 when they are
# passed over and .89 when not. A part of the passages, and at least so many.
_MAX_SHARE = 0.02
_MAX_HOLDERS = 500
_MAX_REMEMBERED = 10_000

# How soon another occurrence of a word in a passage tells no more (k1): the customary value.
_SATURATION = 1.2

# Times the limit: of so many best matches the scope leaves enough, unless most are closed
# to the caller; and no more at once than SQLite takes placeholders.
_CONSIDERED = 4
_MOST_LOOKED_UP = 8_000

# A letter to SQLite's tokenizer, and in no word of these languages: `en` and `try` is not `entry`.
_BEHIND = "ʘ"

VERSION = "4"
"""Of what is kept for a passage: kept otherwise, all words are to be made anew."""


class LexicalIndex:
    """Ranks passages by the words they share with a question."""

    def __init__(self) -> None:
        self._holders: dict[str, int] = {}

    def add(
        self, connection: sqlite3.Connection, language: str, rows: Iterable[tuple[int, str]]
    ) -> None:
        """Index `(chunk id, text)` rows of a language; the caller owns the transaction."""
        self._holders.clear()
        connection.executemany(
            "INSERT INTO words (rowid, body) VALUES (?, ?)",
            ((chunk_id, _kept(language, text)) for chunk_id, text in rows),
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
        """Chunk ids, best first, at most `limit`; see `match_terms`."""
        wanted = match_terms(question, terms)
        languages = scope.filters.languages or frozenset(_languages(connection))
        if len(languages) == 1:
            language = next(iter(languages))
            wanted = [" ".join(_in(language, term.split())) for term in wanted]
        passages = sum(self._holders_of(connection, _marker(code)) for code in languages)
        ranked = _ranked(connection, self._affordable(connection, wanted, passages), passages)
        return _first_within(connection, ranked, scope, limit)

    def _affordable(
        self, connection: sqlite3.Connection, terms: Sequence[str], passages: int
    ) -> list[str]:
        """The terms without those that too many of the passages hold."""
        holders = {term: self._holders_of(connection, term) for term in terms}
        most = max(_MAX_HOLDERS, _MAX_SHARE * passages)
        known = [term for term in terms if holders[term]]
        rare = [term for term in known if holders[term] <= most]
        return rare or sorted(known, key=holders.__getitem__)[:1]

    def _holders_of(self, connection: sqlite3.Connection, term: str) -> int:
        """In how many passages a word is; a phrase is in no more than its rarest word."""
        if " " in term:
            return min(self._holders_of(connection, word) for word in term.split())
        if term not in self._holders:
            if len(self._holders) >= _MAX_REMEMBERED:
                self._holders.clear()
            row = connection.execute(
                "SELECT doc FROM vocabulary WHERE term = ?", (term,)
            ).fetchone()
            self._holders[term] = row[0] if row else 0
        return self._holders[term]


def _ranked(connection: sqlite3.Connection, terms: Sequence[str], passages: int) -> list[int]:
    """The passages with any of the terms, best first, by BM25.

    Passages are of one length by the way they are cut, so that lengths are left out.
    SQLite's own ranking looks each passage's length up: four times the time of this.
    """
    ids, weights = [], []
    for term in terms:
        holders, counts = np.unique(_occurrences(connection, term), return_counts=True)
        rarity = math.log1p((passages - len(holders) + 0.5) / (len(holders) + 0.5))
        ids.append(holders)
        weights.append(rarity * counts * (_SATURATION + 1) / (counts + _SATURATION))
    if not ids:
        return []
    found, positions = np.unique(np.concatenate(ids), return_inverse=True)
    scores = np.bincount(positions, np.concatenate(weights))
    ranked: list[int] = found[np.lexsort((found, -scores))].tolist()
    return ranked


def _occurrences(connection: sqlite3.Connection, term: str) -> NDArray[np.int64]:
    """A chunk id for each time that the word occurs, or for each passage with the phrase."""
    if " " in term:
        query = "SELECT rowid FROM words WHERE words MATCH ?"
        found = connection.execute(query, (f'"{term}"',))
    else:
        found = connection.execute("SELECT doc FROM occurrences WHERE term = ?", (term,))
    return np.fromiter(chain.from_iterable(found), np.int64)


def _first_within(
    connection: sqlite3.Connection, ranked: Sequence[int], scope: Scope, limit: int
) -> list[int]:
    """The first `limit` within the scope. Most are, or few: looked up in growing parts."""
    condition, parameters = scope.condition()
    found: list[int] = []
    start, size = 0, _CONSIDERED * limit
    while len(found) < limit and start < len(ranked):
        part = ranked[start : start + size]
        within = connection.execute(
            # Only placeholders and our own column names are pasted in.
            "SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document_id "  # noqa: S608
            f"WHERE c.id IN ({','.join('?' * len(part))}) AND {condition}",
            (*part, *parameters),
        )
        kept = {row[0] for row in within}
        found += [chunk_id for chunk_id in part if chunk_id in kept]
        start, size = start + size, min(2 * size, _MOST_LOOKED_UP)
    return found[:limit]


def _kept(language: str, text: str) -> str:
    words = tokens(text)
    return " ".join([_marker(language), *words, *_in(language, words)])


def _marker(language: str) -> str:
    """A word of every passage of the language: how many there are is looked up like a word."""
    return f"passagesin{language}"


def _in(language: str, words: Iterable[str]) -> list[str]:
    return [f"{language}{_BEHIND}{word}" for word in words]


def _languages(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT DISTINCT language FROM documents")]


def match_terms(question: str, terms: Sequence[str] = ()) -> list[str]:
    """The words and phrases to look for, for a question and further terms.

    Neighbours of which one holds a digit are also looked for side by side:
    `Pasal 33`, `KBLI 56101` and `28/2025` are names, not two words each. A term of
    several words is looked for as such.
    """
    words = fold(question)
    telling = [word for word in words if word not in STOP_WORDS] or words
    stems = [shorten(word) for word in telling]
    names = [f"{a} {b}" for a, b in pairwise(stems) if _has_digit(a) or _has_digit(b)]
    phrases = [" ".join(tokens(term)) for term in terms]
    return [term for term in dict.fromkeys(stems + names + phrases) if term]


def _has_digit(word: str) -> bool:
    return any(c.isdigit() for c in word)
