"""The keys' digests in DATA_DIR, written by `zantara keys` and read by the service beside it."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.access.keys import Key, KeyScope
from app.errors import StorageFailed

FILE_NAME = "keys.db"
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, scopes TEXT NOT NULL, groups TEXT NOT NULL,
    expires REAL, requests_per_minute INTEGER, tokens_per_minute INTEGER, daily_usd REAL,
    created REAL NOT NULL
) WITHOUT ROWID
"""
_COLUMNS = (
    "name", "digest", "scopes", "groups", "expires",
    "requests_per_minute", "tokens_per_minute", "daily_usd",
)  # fmt: skip
_INSERT = (
    f"INSERT INTO keys ({', '.join(_COLUMNS)}, created) "  # noqa: S608 - the constants above
    f"VALUES (?{', ?' * len(_COLUMNS)}) ON CONFLICT (name) DO NOTHING"
)


class KeyStore:
    """`DATA_DIR/keys.db`. Every method raises `StorageFailed` where it cannot be used."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME

    def add(self, key: Key) -> bool:
        """Keep a key; False when there is one of that name."""
        row = (
            key.name, key.digest, " ".join(sorted(key.scopes)), " ".join(sorted(key.groups)),
            key.expires, key.requests_per_minute, key.tokens_per_minute, key.daily_usd,
        )  # fmt: skip
        with self._opened(create=True) as connection:
            return connection.execute(_INSERT, (*row, time.time())).rowcount == 1

    def revoke(self, name: str) -> bool:
        """Forget a key; False when there is none of that name."""
        if not self._path.exists():
            return False
        with self._opened() as connection:
            return connection.execute("DELETE FROM keys WHERE name = ?", (name,)).rowcount == 1

    def all(self) -> list[Key]:
        """All keys by name, those that have expired too."""
        if not self._path.exists():
            return []
        columns = ", ".join(_COLUMNS)
        with self._opened() as connection:
            rows = connection.execute(f"SELECT {columns} FROM keys ORDER BY name").fetchall()  # noqa: S608 - our own names
        return [
            Key(name, digest, _scopes(scopes), frozenset(groups.split()), *limits)
            for name, digest, scopes, groups, *limits in rows
        ]

    def _give_to_owner(self) -> None:
        """Root makes keys (`fly ssh console`) for a service that runs as the folder's owner."""
        if os.geteuid() == 0:
            owner = self._path.parent.stat()
            os.chown(self._path, owner.st_uid, owner.st_gid)

    @contextmanager
    def _opened(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if create:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._path.touch(mode=0o600)
                self._give_to_owner()
            opened = closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S))
            with opened as connection, connection:
                connection.execute(_SCHEMA)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StorageFailed(
                f"the keys in {self._path} cannot be used: {error}; restore a copy of the file "
                "(docs/deploy.md), or move it away and make the keys anew"
            ) from error


def _scopes(stored: str) -> frozenset[KeyScope]:
    # A later version may know more scopes than this one.
    return frozenset(scope for scope in KeyScope if scope in stored.split())
