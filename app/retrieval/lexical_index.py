"""BM25 over folded, shortened words, kept in the store's own database file (SQLite FTS5).

What writes works on a connection of the store's, so that a passage and its words are
written in one transaction. A word is kept as it is and, once more, behind
its passage's language (`enʘcompan`), so that a search in one language passes over the
others' passages, while one in several weighs a word by all of them: a word that is
rare in a language only because it is another's tells nothing.
"""

import math
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.retrieval.chunking import Chunk
from app.retrieval.database import Database
from app.retrieval.document_cache import Visible
from app.retrieval.read_cache import ReadCache
from app.retrieval.stop_words import STOP_WORDS
from app.retrieval.words import fold, shorten, tokens

# Each passage that holds a word costs 1 µs to rank, and what more passages than this
# hold tells little: on 84 questions with translations Recall@10 is .93 when they are
# passed over and .89 when not. A part of the passages, and at least so many.
_MAX_SHARE = 0.02
_MAX_HOLDERS = 500
_HOLDERS_KEPT = 10_000
# Of lists of a term's passages, 12 bytes a passage: read from SQLite it takes 0.4 µs.
_POSTINGS_KEPT_BYTES = 32 * 1024 * 1024

# How soon another occurrence of a word in a passage tells no more (k1): the customary value.
_SATURATION = 1.2

# A letter to SQLite's tokenizer, and in no word of these languages: `en` and `try` is not `entry`.
_BEHIND = "ʘ"

VERSION = "4"
"""Of what is kept for a passage: kept otherwise, all words are to be made anew."""


class Postings(NamedTuple):
    """The chunks that hold a term, and what that is worth beside its rarity, from 1 to 2.2."""

    chunk_ids: NDArray[np.int64]
    weights: NDArray[np.float32]


class LexicalIndex:
    """Ranks passages by the words they share with a question."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holders: ReadCache[str, int] = ReadCache(database, _HOLDERS_KEPT)
        self._postings: ReadCache[str, Postings] = ReadCache(
            database, _POSTINGS_KEPT_BYTES, lambda p: p.chunk_ids.nbytes + p.weights.nbytes
        )

    def add(self, connection: sqlite3.Connection, rows: Iterable[tuple[int, str]]) -> None:
        """Index `(chunk id, words_of)` rows; the caller owns the transaction."""
        connection.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", rows)

    def remove(self, connection: sqlite3.Connection, chunk_ids: Iterable[int]) -> None:
        """Forget chunks; the caller owns the transaction."""
        connection.executemany(
            "DELETE FROM words WHERE rowid = ?", ((chunk_id,) for chunk_id in chunk_ids)
        )

    def merge(self, connection: sqlite3.Connection) -> None:
        """Merge the segments that writes leave; the caller owns the transaction.

        A word is looked up in each of them. Takes 10 µs a passage, nothing where there is one.
        """
        connection.execute("INSERT INTO words (words) VALUES ('optimize')")

    def search(
        self,
        question: str,
        limit: int,
        languages: Collection[str],
        visible: Visible,
        terms: Sequence[str] = (),
    ) -> list[int]:
        """Chunk ids, best first, at most `limit`, of the visible documents; see `match_terms`.

        `languages` are those that the visible documents are in.
        """
        wanted = match_terms(question, terms)
        if len(languages) == 1:
            language = next(iter(languages))
            wanted = [" ".join(_in(language, term.split())) for term in wanted]
        passages = sum(self._holders_of(_marker(code)) for code in languages)
        affordable = self._affordable(wanted, passages)
        return _best(map(self._postings_of, affordable), passages, visible, limit)

    def _affordable(self, terms: Sequence[str], passages: int) -> list[str]:
        """The terms without those that too many of the passages hold."""
        holders = {term: self._holders_of(term) for term in terms}
        most = max(_MAX_HOLDERS, _MAX_SHARE * passages)
        known = [term for term in terms if holders[term]]
        rare = [term for term in known if holders[term] <= most]
        return rare or sorted(known, key=holders.__getitem__)[:1]

    def _holders_of(self, term: str) -> int:
        """In how many passages a word is; a phrase is in no more than its rarest word."""
        if " " in term:
            return min(self._holders_of(word) for word in term.split())
        return self._holders.get(term, lambda: self._count(term))

    def _count(self, word: str) -> int:
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT doc FROM vocabulary WHERE term = ?", (word,)
            ).fetchone()
        return row[0] if row else 0

    def _postings_of(self, term: str) -> Postings:
        return self._postings.get(term, lambda: self._read_postings(term))

    def _read_postings(self, term: str) -> Postings:
        with self._database.read() as connection:
            occurrences = _occurrences(connection, term)
        chunk_ids, counts = np.unique(occurrences, return_counts=True)
        weights = counts * (_SATURATION + 1) / (counts + _SATURATION)
        return Postings(chunk_ids, weights.astype(np.float32))


def _best(postings: Iterable[Postings], passages: int, visible: Visible, limit: int) -> list[int]:
    """The visible passages with any of the terms, best first, by BM25.

    Passages are of one length by the way they are cut, so that lengths are left out.
    SQLite's own ranking looks each passage's length up: four times the time of this.
    """
    read = [each for each in postings if len(each.chunk_ids)]
    if not read:
        return []
    holders = [len(chunk_ids) for chunk_ids, _ in read]
    rarities = [math.log1p((passages - n + 0.5) / (n + 0.5)) for n in holders]
    ids = np.concatenate([chunk_ids for chunk_ids, _ in read])
    weights = np.concatenate([weight for _, weight in read]) * np.repeat(rarities, holders)
    # Each term's passages are in order already: merging them takes a fifth of sorting them.
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    first_of_passage = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    found, scores = ids[first_of_passage], np.add.reduceat(weights[order], first_of_passage)
    within = visible.mask(found)
    found, scores = found[within], scores[within]
    if len(found) > limit:
        good = scores >= np.partition(scores, -limit)[-limit]
        found, scores = found[good], scores[good]
    ranked: list[int] = found[np.lexsort((found, -scores))].tolist()
    return ranked[:limit]


def _occurrences(connection: sqlite3.Connection, term: str) -> NDArray[np.int64]:
    """A chunk id for each time that the word occurs, or for each passage with the phrase."""
    if " " in term:
        query, value = "SELECT group_concat(rowid) FROM words WHERE words MATCH ?", f'"{term}"'
    else:
        query, value = "SELECT group_concat(doc) FROM occurrences WHERE term = ?", term
    # As one text: handed to Python row by row they take two and a half times as long.
    (found,) = connection.execute(query, (value,)).fetchone()
    return np.fromstring(found, np.int64, sep=",") if found else np.empty(0, np.int64)


def words_of(language: str, chunk: Chunk) -> str:
    """Return what is indexed of a chunk in that language."""
    words = tokens(chunk.embedded_text)
    return " ".join([_marker(language), *words, *_in(language, words)])


def _marker(language: str) -> str:
    """A word of every passage of the language: how many there are is looked up like a word."""
    return f"passagesin{language}"


def _in(language: str, words: Iterable[str]) -> list[str]:
    return [f"{language}{_BEHIND}{word}" for word in words]


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
