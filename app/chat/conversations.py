"""Conversations of clients that store none themselves, in a SQLite file.

Our own table rather than a framework's memory: those store what their own agents emit.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from app.errors import StorageFailed

FILE_NAME = "conversations.db"
MAX_AGE_S = 30 * 24 * 3600
"""A conversation without a turn for so long is deleted."""
MAX_MESSAGES = 100
"""Of one conversation; the oldest go first."""
MAX_CONVERSATIONS = 10_000
"""Of one owner; the one that was used least recently goes first."""
MAX_BYTES = 64 * 1024 * 1024
"""Of all messages of one owner; the conversation that was used least recently goes first."""
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    n INTEGER PRIMARY KEY, owner TEXT NOT NULL, conversation TEXT NOT NULL,
    role TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_conversation ON messages (owner, conversation, n);
DROP INDEX IF EXISTS by_age;
-- One row for each conversation, with its last turn and its size.
CREATE TABLE IF NOT EXISTS conversations (
    owner TEXT NOT NULL, conversation TEXT NOT NULL, at REAL NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (owner, conversation)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_last_turn ON conversations (owner, at DESC, bytes);
CREATE INDEX IF NOT EXISTS by_last_turn_of_all ON conversations (at);
"""
_VERSION = 1
# Of a file that an earlier version wrote, whose free pages may hold text.
_MIGRATION = """
INSERT OR IGNORE INTO conversations
    SELECT owner, conversation, max(at), sum(length(CAST(content AS BLOB)))
    FROM messages GROUP BY owner, conversation;
"""
_OF = "FROM messages WHERE owner = ? AND conversation = ?"
_LATEST = f"SELECT n {_OF} ORDER BY n DESC LIMIT {MAX_MESSAGES}"
_COUNT = """
INSERT OR REPLACE INTO conversations
SELECT ?1, ?2, ?3, sum(length(CAST(content AS BLOB))) FROM messages
WHERE owner = ?1 AND conversation = ?2
"""
_TOTALS = "SELECT count(*), sum(bytes) FROM conversations WHERE owner = ?"
# The least recently used of an owner, as many as are over either bound.
_SURPLUS = """
SELECT conversation FROM (
    SELECT conversation, row_number() OVER latest_first AS place, sum(bytes) OVER latest_first AS
    total FROM conversations WHERE owner = ? WINDOW latest_first AS (ORDER BY at DESC, conversation)
) WHERE place > ? OR total > ?
"""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One stored message; `at` is in seconds since 1970."""

    role: Literal["user", "assistant"]
    content: str
    at: float


class ActiveConversation:
    """A conversation with turns in progress; `deleted` once it is deleted meanwhile."""

    def __init__(self) -> None:
        self.deleted = False


class Conversations:
    """`DATA_DIR/conversations.db`. Calls block, and raise `StorageFailed` where it cannot be used.

    `owner` is the name of the caller's key: no caller reads another's. Deleted text is
    overwritten in the file.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._writing = threading.Lock()
        self._beginning = threading.Lock()
        """Apart from writing, since the event loop waits for it."""
        self._in_use: WeakValueDictionary[tuple[str, str], ActiveConversation] = (
            WeakValueDictionary()
        )

    def begin(self, owner: str, conversation: str) -> ActiveConversation:
        """Register a turn in progress; pass the result to `add`, and hold it until then."""
        with self._beginning:
            key = (owner, conversation)
            in_use = self._in_use.get(key)
            if in_use is None:
                in_use = self._in_use[key] = ActiveConversation()
            return in_use

    def messages(self, owner: str, conversation: str) -> list[StoredMessage]:
        """Return the messages, oldest first; none where the conversation is unknown or too old."""
        with self._opened() as connection:
            rows = connection.execute(
                f"SELECT role, content, at {_OF} ORDER BY n",
                (owner, conversation),
            ).fetchall()
        stored = [StoredMessage(*row) for row in rows]
        return stored if stored and stored[-1].at > time.time() - MAX_AGE_S else []

    def add(
        self,
        owner: str,
        conversation: str,
        question: str,
        answer: str,
        in_use: ActiveConversation | None = None,
    ) -> None:
        """Store one turn, unless `in_use` was deleted; purge what is too old or too much.

        The conversation itself is never purged for its size.
        """
        now = time.time()
        of = (owner, conversation)
        with self._writing, self._opened() as connection:
            if in_use and in_use.deleted:
                return
            connection.executemany(
                "INSERT INTO messages (owner, conversation, role, content, at) "
                "VALUES (?, ?, ?, ?, ?)",
                [(*of, "user", question, now), (*of, "assistant", answer, now)],
            )
            connection.execute(f"DELETE {_OF} AND n NOT IN ({_LATEST})", (*of, *of))
            connection.execute(_COUNT, (*of, now))
            _purge_old(connection)
            count, total = connection.execute(_TOTALS, (owner,)).fetchone()
            if count > MAX_CONVERSATIONS or total > MAX_BYTES:
                bounds = (owner, MAX_CONVERSATIONS, MAX_BYTES)
                for (name,) in connection.execute(_SURPLUS, bounds).fetchall():
                    if name != conversation:
                        _delete(connection, owner, name)

    def delete(self, owner: str, conversation: str) -> bool:
        """Delete a conversation, and what turns in progress would add to it.

        Returns:
            False where there is neither a conversation nor a turn that would start one.
        """
        with self._writing, self._opened() as connection:
            with self._beginning:
                in_use = self._in_use.pop((owner, conversation), None)
            if in_use:
                in_use.deleted = True
            return _delete(connection, owner, conversation) or in_use is not None

    def purge(self) -> None:
        """Delete conversations without a turn for `MAX_AGE_S`."""
        with self._writing, self._opened() as connection:
            _purge_old(connection)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self._path.exists():
                self._path.touch(mode=0o600)
            opened = closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S))
            with opened as connection, connection:
                connection.execute("PRAGMA secure_delete = ON")
                _prepare(connection)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StorageFailed(f"{self._path} cannot be used: {error}") from error


def _prepare(connection: sqlite3.Connection) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == _VERSION:
        return
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {_MIGRATION} COMMIT;")
    connection.execute("VACUUM")
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _purge_old(connection: sqlite3.Connection) -> None:
    old = connection.execute(
        "SELECT owner, conversation FROM conversations WHERE at <= ?", (time.time() - MAX_AGE_S,)
    ).fetchall()
    for owner, conversation in old:
        _delete(connection, owner, conversation)


def _delete(connection: sqlite3.Connection, owner: str, conversation: str) -> bool:
    of = (owner, conversation)
    connection.execute("DELETE FROM conversations WHERE owner = ? AND conversation = ?", of)
    return connection.execute(f"DELETE {_OF}", of).rowcount > 0
