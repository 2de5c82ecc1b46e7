"""The truth: documents, chunks and vectors.

All indexes are derived from it and can be rebuilt. One transaction puts a document in
the place of another, its words included, so that a process killed at any moment leaves the
old document or the new one; see `document_writes`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from threading import Lock
from uuid import uuid4

from app.errors import EmbedderMismatch
from app.events import Passage, Section
from app.limits import SERVICE
from app.retrieval import (
    erasure,
    fingerprints,
    lexical_index,
    passage_rows,
    pending_vectors,
    vector_rows,
)
from app.retrieval.catalogue import Catalogue
from app.retrieval.chunking import Chunk
from app.retrieval.database import Database
from app.retrieval.document_cache import DocumentCache
from app.retrieval.document_writes import DOCUMENT_COLUMNS, DocumentWrites, Draft
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.filters import Scope
from app.retrieval.fingerprints import Fingerprint, Twin
from app.retrieval.lexical_index import LexicalIndex, words_of
from app.retrieval.pending_vectors import PendingVectors
from app.retrieval.records import Change, Document, Identity, Partition, Stats, StoredVector


def vector_key(embedder_name: str, text: str) -> str:
    """Under which an embedded text's vector is kept: same text, same model, same vector."""
    return sha256(f"{embedder_name}\0{text}".encode()).hexdigest()


class Store:
    """Safe to use from any thread; every call blocks. Raises `StorageFailed`."""

    def __init__(self, data_dir: Path) -> None:
        self._database = Database(data_dir)
        self._erasing = Lock()
        self._lexical = LexicalIndex(self._database)
        self._writes = DocumentWrites(self._database, self._lexical)
        self.documents = DocumentCache(self._database)
        self._renew_words()
        self.catalogue = Catalogue(self._database)
        self.pending = PendingVectors(self._database)

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._database.close()

    def erase_remains(self) -> None:
        """Erase what is left of documents that were deleted, replaced or not written to the end."""
        with self._erasing:  # also so that the store is not closed meanwhile
            self._writes.drop_hidden()
            erasure.erase(self._database)

    def _renew_words(self) -> None:
        """Make the lexical index anew where another version of the service made it."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'words'").fetchone()
            if row and row[0] == lexical_index.VERSION:
                return
            connection.execute("DELETE FROM words")
            erasure.note_deletion(connection)
            chunks = connection.execute(
                "SELECT d.language, c.id, c.section, c.start, c.end, c.text "
                "FROM chunks c JOIN documents d USING (number) ORDER BY d.language"
            )
            for language, rows in groupby(chunks, key=itemgetter(0)):
                words = ((row[1], words_of(language, Chunk(*row[2:]))) for row in rows)
                self._lexical.add(connection, words)
            connection.execute("REPLACE INTO meta VALUES ('words', ?)", (lexical_index.VERSION,))

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits, drawn when the store was made."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('id', ?)", (uuid4().hex[:12],))
            row = connection.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
        return str(row[0])

    def claim_embedder(self, embedder: Embedder) -> None:
        """Note whose vectors these are. Raises `EmbedderMismatch` when they are another's."""
        wanted = _identity_of(embedder)
        with self._database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('embedder', ?)", (wanted,))
            row = connection.execute("SELECT value FROM meta WHERE key = 'embedder'").fetchone()
        if row[0] != wanted:
            raise EmbedderMismatch(
                f"the index was made by the embedder {row[0]}, the service uses {wanted}: "
                "run `zantara ingest --rebuild` to embed every passage again"
            )
        self._drop_unfinished_rebuild()

    def _drop_unfinished_rebuild(self) -> None:
        """Forget the vectors of another embedder that was not changed to after all."""
        with self._database.transaction(changes_content=False) as connection:
            if connection.execute("DELETE FROM meta WHERE key = 'rebuilding'").rowcount:
                vector_rows.drop_all_unused(connection)

    def switch_embedder(self, embedder: Embedder, keys: Mapping[int, str]) -> None:
        """Give every chunk another embedder's vector.

        `keys` maps each chunk id to its vector's key. Chunks whose vector `keep_vectors` was not
        given wait for it.
        """
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE chunks SET vector_key = ? WHERE id = ?",
                ((key, chunk_id) for chunk_id, key in keys.items()),
            )
            connection.execute(
                "REPLACE INTO meta VALUES ('embedder', ?)", (_identity_of(embedder),)
            )
            pending_vectors.note_all(connection, SERVICE)
            connection.execute("DELETE FROM meta WHERE key = 'rebuilding'")
            vector_rows.drop_all_unused(connection)

    def keep_vectors(self, vectors: Mapping[str, Vectors]) -> None:
        """Keep another embedder's vectors by key, until `switch_embedder`."""
        with self._database.transaction(changes_content=False) as connection:
            connection.execute("REPLACE INTO meta VALUES ('rebuilding', '')")
            vector_rows.insert(connection, vectors)

    def add_vectors(self, vectors: Mapping[str, Vectors]) -> Change:
        """Give vectors, by key, to the chunks that wait for them."""
        with self._database.transaction(changes_content=False) as connection:
            return pending_vectors.settle(connection, vectors)

    def refuse_vectors(self, keys: Collection[str]) -> None:
        """Count that the embedder refused these texts; after the third time they wait no more."""
        with self._database.transaction(changes_content=False) as connection:
            pending_vectors.refuse(connection, keys)

    def known_vectors(self, keys: Collection[str]) -> dict[str, Vectors]:
        """Those of the keys that have a vector, with it."""
        query = "SELECT key, vector FROM vectors WHERE key IN ({})"
        return {key: vector_rows.decode(blob) for key, blob in self._database.paged(query, keys)}

    def replace_document(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        keys: Sequence[str],
        vectors: Mapping[str, Vectors],
        fingerprint: Fingerprint | None = None,
        caller: str = SERVICE,
    ) -> Change:
        """Put a document in the place of the one with its id, if any; see `draft`."""
        with self.draft(document, chunks, keys, vectors, fingerprint, caller) as draft:
            return self.publish(draft)

    def draft(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        keys: Sequence[str],
        vectors: Mapping[str, Vectors],
        fingerprint: Fingerprint | None = None,
        caller: str = SERVICE,
    ) -> AbstractContextManager[Draft]:
        """Write a document that nobody finds yet, for `publish` within the block.

        `keys` holds, for each chunk, the key of its vector. A chunk whose vector is neither
        among `vectors` nor stored is found by its words, and waits in `pending` for
        `add_vectors`, at the expense of `caller`. Without a fingerprint no duplicate of the
        document is found. Leaving the block without `publish` drops what was written.
        """
        # Outside of a transaction: it takes most of the time.
        words = [words_of(document.language, chunk) for chunk in chunks]
        return self._writes.draft(document, chunks, keys, vectors, fingerprint, caller, words)

    def publish(self, draft: Draft) -> Change:
        """Put a draft in the place of the document with its id, if any: found from now on."""
        return self._writes.publish(draft)

    def delete_document(self, document_id: str) -> Change | None:
        """Forget a document: it is found no more, and `erase_remains` drops it.

        Returns:
            What became of its chunks, None when there is no such document.
        """
        return self._writes.delete(document_id)

    def merge_words(self) -> None:
        """Make looking words up as fast as it can be, after many writes."""
        with self._database.transaction() as connection:
            self._lexical.merge(connection)

    def search_words(
        self, question: str, limit: int, scope: Scope, terms: Sequence[str] = ()
    ) -> list[int]:
        """Chunk ids by the words shared with a question, or by further terms, best first."""
        languages = scope.filters.languages or self.documents.languages()
        visible = self.documents.visible(scope)
        return self._lexical.search(question, limit, languages, visible, terms)

    def document(self, document_id: str) -> Document | None:
        """A whole document; its chunks' offsets are characters of its `text`."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT {DOCUMENT_COLUMNS} FROM documents WHERE id = ?",  # noqa: S608 - our own names
                (document_id,),
            ).fetchone()
        return Document(*row) if row else None

    def identity(self, document_id: str) -> Identity | None:
        """None when there is no such document."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT root, content_hash, collection, access FROM documents WHERE id = ?",
                (document_id,),
            ).fetchone()
        return Identity(*row) if row else None

    def closest_document(
        self, fingerprint: Fingerprint, access: str, other_than: Collection[str]
    ) -> Twin | None:
        """The document of that access group with the same text, or nearly."""
        with self._database.read() as connection:
            return fingerprints.closest(connection, fingerprint, access, other_than)

    def is_superseded_by(self, document_id: str, successor: str) -> bool:
        """Whether `successor` is the document, or supersedes it over any number of steps."""
        query = (
            "WITH RECURSIVE line (id) AS (VALUES (?) UNION "
            "SELECT d.supersedes FROM line JOIN documents d ON d.id = line.id "
            "WHERE d.supersedes IS NOT NULL) SELECT 1 FROM line WHERE id = ?"
        )
        with self._database.read() as connection:
            return connection.execute(query, (successor, document_id)).fetchone() is not None

    def identities(self) -> dict[str, Identity]:
        """Every document's, by its id."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id, root, content_hash, collection, access FROM documents"
            )
            return {row[0]: Identity(*row[1:]) for row in rows}

    def stats(self) -> Stats:
        """Counts the rows: some milliseconds at 100,000 chunks."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks) - "
                "(SELECT count(*) FROM chunks WHERE number IN (SELECT number FROM hidden))"
            ).fetchone()
        return Stats(*row)

    def passages(self, chunk_ids: Collection[int], scope: Scope) -> dict[int, Passage]:
        """Passages by chunk id, without a score; what is gone or out of scope is left out.

        An index that lags behind the store may name such chunks.
        """
        return passage_rows.passages(self._database, chunk_ids, scope)

    def sections(self, passages: Sequence[Passage]) -> dict[int, Section]:
        """The whole section round each passage that is only a part of one, by its place."""
        return passage_rows.sections(self._database, passages)

    def chunk_ids(self) -> dict[Partition, set[int]]:
        """The ids of all chunks that have a vector, by partition."""
        return vector_rows.chunk_ids(self._database)

    def stored_vectors(self, chunk_ids: Collection[int]) -> Iterator[StoredVector]:
        """The chunks with their vectors, in no order."""
        return vector_rows.of_chunks(self._database, chunk_ids)

    def all_vectors(self) -> Iterator[list[StoredVector]]:
        """Every chunk with its vector, a page at a time."""
        return vector_rows.pages(self._database)

    def embedded_texts(self) -> dict[int, str]:
        """What the embedder is given for each chunk, by chunk id."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT c.id, section, start, end, c.text FROM chunks c "
                "JOIN documents USING (number)"
            ).fetchall()
        return {row[0]: Chunk(*row[1:]).embedded_text for row in rows}


def _identity_of(embedder: Embedder) -> str:
    return f"{embedder.name} ({embedder.dimension} dimensions)"
