"""Conversations that are kept for clients that keep none themselves, in a SQLite file.

Our own table rather than a framework's memory: those keep what their own agents said.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.errors import StorageFailed

FILE_NAME = "conversations.db"
MAX_AGE_S = 30 * 24 * 3600
"""A conversation that nobody went on with for so long is forgotten."""
MAX_MESSAGES = 100
"""Of one conversation; the oldest go first."""
MAX_CONVERSATIONS = 10_000
"""Of one owner; the one left longest goes first."""
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    n INTEGER PRIMARY KEY, owner TEXT NOT NULL, conversation TEXT NOT NULL,
    role TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_conversation ON messages (owner, conversation, n);
CREATE INDEX IF NOT EXISTS by_age ON messages (at);
"""
_OF = "FROM messages WHERE owner = ? AND conversation = ?"
_LATEST = f"SELECT n {_OF} ORDER BY n DESC LIMIT {MAX_MESSAGES}"
# Of what is old enough only: what is left of a conversation is looked for in the other index.
_FORGET_OLD = """
DELETE FROM messages WHERE at <= :then AND NOT EXISTS (
    SELECT 1 FROM messages AS later WHERE later.owner = messages.owner
    AND later.conversation = messages.conversation AND later.at > :then
)
"""
_COUNT = "SELECT count(*) FROM (SELECT DISTINCT conversation FROM messages WHERE owner = ?)"
_STALE = """
SELECT conversation FROM messages WHERE owner = ? GROUP BY conversation
ORDER BY max(at) DESC LIMIT -1 OFFSET ?
"""


@dataclass(frozen=True, slots=True)
class Said:
    """One message that is kept; `at` is in seconds since 1970."""

    role: Literal["user", "assistant"]
    content: str
    at: float


class Conversations:
    """`DATA_DIR/conversations.db`. Calls block, and raise `StorageFailed` where it cannot be used.

    `owner` is the name of the caller's key: nobody reads another's.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME

    def messages(self, owner: str, conversation: str) -> list[Said]:
        """What was said, the oldest first; nothing where it is not known, or too old."""
        with self._opened() as connection:
            rows = connection.execute(
                f"SELECT role, content, at {_OF} ORDER BY n",
                (owner, conversation),
            ).fetchall()
        said = [Said(*row) for row in rows]
        return said if said and said[-1].at > time.time() - MAX_AGE_S else []

    def add(self, owner: str, conversation: str, question: str, answer: str) -> None:
        """Keep one turn, and forget what is too old or too much."""
        now = time.time()
        of = (owner, conversation)
        with self._opened() as connection:
            begins = connection.execute(f"SELECT 1 {_OF} LIMIT 1", of).fetchone() is None
            connection.executemany(
                "INSERT INTO messages (owner, conversation, role, content, at) "
                "VALUES (?, ?, ?, ?, ?)",
                [(*of, "user", question, now), (*of, "assistant", answer, now)],
            )
            connection.execute(f"DELETE {_OF} AND n NOT IN ({_LATEST})", (*of, *of))
            connection.execute(_FORGET_OLD, {"then": now - MAX_AGE_S})
            # Counting them all takes a while: only a new one can be one too many.
            if begins and connection.execute(_COUNT, (owner,)).fetchone()[0] > MAX_CONVERSATIONS:
                connection.execute(
                    f"DELETE FROM messages WHERE owner = ? AND conversation IN ({_STALE})",  # noqa: S608 - our own names
                    (owner, owner, MAX_CONVERSATIONS),
                )

    def delete(self, owner: str, conversation: str) -> bool:
        """Forget a conversation; False where there is none."""
        with self._opened() as connection:
            return connection.execute(f"DELETE {_OF}", (owner, conversation)).rowcount > 0

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self._path.exists():
                self._path.touch(mode=0o600)
            opened = closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S))
            with opened as connection, connection:
                connection.executescript(_SCHEMA)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StorageFailed(f"{self._path} cannot be used: {error}") from error
