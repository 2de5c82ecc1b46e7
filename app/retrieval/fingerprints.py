"""Texts that are the same, or nearly: found by a small sample of their word sequences.

The sample holds the smallest hashes of all runs of five words, so that two texts
share as much of their samples as they share of their runs (Broder's bottom-k sketch).
"""

import heapq
import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

SCHEMA = """
CREATE TABLE IF NOT EXISTS fingerprints (
    value INTEGER NOT NULL, document_id TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
    PRIMARY KEY (value, document_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fingerprints_of_document ON fingerprints (document_id);
"""

NEARLY_SAME = 0.8
"""Share of common samples: one changed word in a hundred leaves nine tenths."""

_SAMPLES = 64
_RUN = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`whole` stands for all words in their order, `samples` for its runs; 63-bit numbers."""

    whole: int
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Twin:
    """A document that is like another; `share` is 1 when it has the same words."""

    document_id: str
    share: float


def fingerprint(text: str) -> Fingerprint:
    """Of the words alone: case, marks and white space count for nothing."""
    words = _WORD.findall(text.casefold())
    runs = {" ".join(words[i : i + _RUN]) for i in range(max(1, len(words) - _RUN + 1))}
    samples = heapq.nsmallest(_SAMPLES, map(_hash, runs))
    return Fingerprint(_hash(" ".join(words)), tuple(samples))


def add(connection: sqlite3.Connection, document_id: str, given: Fingerprint) -> None:
    """Keep a document's fingerprint."""
    connection.executemany(
        "INSERT OR IGNORE INTO fingerprints VALUES (?, ?)",
        ((value, document_id) for value in (given.whole, *given.samples)),
    )


def closest(
    connection: sqlite3.Connection, given: Fingerprint, access: str, other_than: Iterable[str]
) -> Twin | None:
    """The document of that access group which is most like the text, if one nearly is."""
    counts = connection.execute(
        "SELECT f.document_id, sum(f.value = ?1), sum(f.value <> ?1) FROM fingerprints f "
        "JOIN documents d ON d.id = f.document_id "
        "WHERE d.access = ?2 AND f.value IN (SELECT value FROM json_each(?3)) "
        "GROUP BY f.document_id ORDER BY 2 DESC, 3 DESC, 1",
        (given.whole, access, json.dumps([given.whole, *given.samples])),
    )
    excluded = set(other_than)
    for document_id, is_same, shared in counts:
        if document_id not in excluded:
            twin = Twin(document_id, 1.0 if is_same else min(shared / len(given.samples), 0.99))
            return twin if twin.share >= NEARLY_SAME else None
    return None


def _hash(text: str) -> int:
    # SQLite's integers have a sign.
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1
