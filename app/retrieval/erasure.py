"""Erases what deleted documents leave behind in the database's files.

SQLite overwrites deleted rows (`secure_delete`). Two things remain: a deleted document's words
stay in the full-text index until their segment is merged (its option `secure-delete` needs
SQLite 3.42), and the write-ahead log holds old pages until it is truncated.
"""

import sqlite3

from app.retrieval.database import Database

_STEP_PAGES = 100
"""Written by a merge in one transaction. What it reads is not bounded: where all words of 20,000
passages were deleted it takes 0.4 s of processor time and writes little."""
_WORK_LEFT = 2
"""A merge that found nothing to do counts fewer changes than this (SQLite's documentation)."""


def note_deletion(connection: sqlite3.Connection) -> None:
    """Note that the index holds words of what the caller's transaction deletes."""
    connection.execute("REPLACE INTO meta VALUES ('erasure', 'due')")


def erase(database: Database) -> None:
    """Erase what is left of everything that was deleted before. Raises `StorageFailed`."""
    with database.read() as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'erasure'").fetchone()
    if row is None:
        # A store of an earlier version, whose free space may hold text: once, 2 s for 200 MB.
        database.vacuum()
    if row is None or row[0] != "done":
        _merge_segments(database)
    database.truncate_log()


def _merge_segments(database: Database) -> None:
    with database.transaction(changes_content=False) as connection:
        # "due" again where something is deleted meanwhile, or as it is where we are killed.
        connection.execute("REPLACE INTO meta VALUES ('erasure', 'running')")
        # Negative: all segments are to become one.
        connection.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (-_STEP_PAGES,))
    while True:
        with database.transaction(changes_content=False) as connection:
            before = connection.total_changes
            connection.execute(
                "INSERT INTO words (words, rank) VALUES ('merge', ?)", (_STEP_PAGES,)
            )
            if connection.total_changes - before < _WORK_LEFT:
                connection.execute(
                    "UPDATE meta SET value = 'done' WHERE key = 'erasure' AND value = 'running'"
                )
                return
