"""Chroma's index in the process of the test: another takes a second of a processor to begin."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.retrieval.embedder import Vectors
from app.retrieval.records import Neighbour, Partition, StoredVector
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy, VectorIndex


class IndexHere:
    """What `IndexChild` does, done here. With the process itself: `real_index_process`."""

    def __init__(self, directory: Path, data_dir: Path, made_by: MadeBy) -> None:
        self._store = Store(data_dir)
        self._index = VectorIndex.embedded(directory, self._store.id, made_by)

    def search(
        self,
        vector: Vectors,
        limit: int,
        wanted: Callable[[Partition], bool],
        by_language: Mapping[str, Vectors],
    ) -> dict[Partition, list[Neighbour]]:
        """As there."""
        return self._index.search(vector, limit, wanted, by_language)

    def reconcile(self) -> int:
        """As there."""
        return self._index.reconcile(self._store.chunk_ids, self._store.stored_vectors)

    def add(self, rows: Sequence[StoredVector]) -> None:
        """As there."""
        self._index.add(rows)

    def remove(self, chunk_ids: Mapping[Partition, Sequence[int]]) -> None:
        """As there."""
        self._index.remove(chunk_ids)

    def kill(self) -> None:
        """Nothing: what is done in this process cannot be ended, and does not hang."""

    def close(self) -> None:
        """As there."""
        self._index.close()
        self._store.close()
