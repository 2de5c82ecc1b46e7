"""Which documents the other processes have not seen as they are here.

Written in the transaction that changes the document, and emptied when the change
is on the server that they share.
"""

import sqlite3

from app.retrieval.database import Database


class Outbox:
    """What is shared in which version. Calls block; raises `StorageFailed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def note(connection: sqlite3.Connection, document_id: str, version: str | None) -> None:
        """A document was changed here, or taken from the server in a version of its own."""
        connection.execute("REPLACE INTO shared VALUES (?, ?)", (document_id, version))

    def versions(self) -> dict[str, str | None]:
        """By document id; None for what is to be shared, be it a deletion."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT document_id, version FROM shared").fetchall())

    def waiting(self) -> list[str]:
        """Ids of documents whose change or deletion is to be shared."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT document_id FROM shared WHERE version IS NULL ORDER BY document_id"
            ).fetchall()
        return [row[0] for row in rows]

    def sent(self, document_id: str, version: str | None) -> None:
        """It is on the server in this version, or gone from there."""
        with self._database.transaction() as connection:
            if version is None:
                connection.execute("DELETE FROM shared WHERE document_id = ?", (document_id,))
            else:
                self.note(connection, document_id, version)

    def begin(self, generation: str) -> None:
        """Share everything with a server that was not known yet, or lost what it had."""
        with self._database.transaction() as connection:
            known = connection.execute("SELECT value FROM meta WHERE key = 'server'").fetchone()
            if known and known[0] == generation:
                return
            connection.execute("REPLACE INTO meta VALUES ('server', ?)", (generation,))
            connection.execute("DELETE FROM shared")
            connection.execute("INSERT INTO shared SELECT id, NULL FROM documents")
