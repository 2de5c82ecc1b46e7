"""Exact search by vector: all vectors of a partition, or those that a filter leaves, are compared.

In a large partition only those that Chroma does not hold.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.retrieval.chroma_index import Approximate
from app.retrieval.document_cache import Visible
from app.retrieval.embedder import Vectors
from app.retrieval.records import POSITION_BITS, Change, Neighbour, Partition, StoredVector
from app.retrieval.store import Store

# What a product of its own costs, in vectors that are compared.
_PRODUCT_COSTS = 20


class ExactIndex:
    """The store's vectors in memory (1.5 kB a chunk), read when first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._partitions: dict[Partition, _Rows] | None = None

    def load(self) -> None:
        """Read the vectors, so that the first question need not wait: some 20 µs each."""
        with self._lock:
            self._loaded()

    @property
    def loaded(self) -> bool:
        """Whether nothing has to be read before a search. Does not block."""
        return self._partitions is not None

    @property
    def sizes(self) -> dict[Partition, int]:
        """How many vectors each partition has; none before they are read. Does not block."""
        partitions = self._partitions or {}
        return {partition: rows.count for partition, rows in list(partitions.items())}

    def lacking(self, chunk_ids: Collection[int]) -> set[int]:
        """Those of the chunks that have no vector here."""
        with self._lock:
            partitions = list((self._partitions or {}).values())
        return {i for i in chunk_ids if not any(rows.has(i) for rows in partitions)}

    def search(
        self,
        vector: Vectors,
        limit: int,
        wanted: Callable[[Partition], bool],
        visible: Visible,
        by_language: Mapping[str, Vectors] = MappingProxyType({}),
        approximate: Mapping[Partition, Approximate] = MappingProxyType({}),
    ) -> dict[Partition, list[Neighbour]]:
        """Of each `wanted` partition what is nearest to `vector`, or to the vector of its language.

        At most `limit` each, nearest first, of the visible documents. What an `approximate` search
        of a partition found is completed.
        """
        with self._lock:
            partitions = [each for each in self._loaded().items() if wanted(each[0])]
        found = {
            partition: rows.search(
                by_language.get(partition.language, vector),
                limit,
                visible,
                approximate.get(partition),
            )
            for partition, rows in partitions
        }
        return {partition: nearest for partition, nearest in found.items() if nearest}

    def apply(self, change: Change) -> None:
        """Follow a change of the store."""
        with self._lock:
            if self._partitions is None:
                return
            for partition, chunk_ids in change.removed.items():
                if rows := self._partitions.get(partition):
                    rows.remove(chunk_ids)
            self._add(self._partitions, change.added)
            if any(rows.mostly_dead for rows in self._partitions.values()):
                self._partitions = None

    def _loaded(self) -> "dict[Partition, _Rows]":
        """All that the store holds; the caller holds the lock."""
        if self._partitions is None:
            partitions: dict[Partition, _Rows] = {}
            for page in self._store.all_vectors():
                self._add(partitions, page)
            self._partitions = partitions
        return self._partitions

    @staticmethod
    def _add(partitions: "dict[Partition, _Rows]", vectors: Iterable[StoredVector]) -> None:
        members_of: dict[Partition, list[StoredVector]] = {}
        for row in vectors:
            members_of.setdefault(row.partition, []).append(row)
        for partition, members in members_of.items():
            partitions.setdefault(partition, _Rows(len(members[0].vector))).add(members)


class _Rows:
    """Vectors of one partition, in arrays that grow by doubling; a dead row has no document.

    One thread changes them while others search: the first `count` rows stay where they are.
    """

    _DEAD = -1

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self._living: dict[int, int] = {}
        self._matrix = np.empty((0, dimension), dtype=np.float32)
        self._ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._documents: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        # Each document's place here, by the number that its chunks' ids begin with.
        self._places: dict[int, int] = {}
        self._chunks_of: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        # The ids that an index holds, and which of the first rows have them.
        self._held: tuple[NDArray[np.int64], NDArray[np.bool_]] | None = None

    @property
    def mostly_dead(self) -> bool:
        return self.count > 1_000 and len(self._living) < self.count // 2

    def has(self, chunk_id: int) -> bool:
        return chunk_id in self._living

    def add(self, rows: list[StoredVector]) -> None:
        # Read from the store a moment ago, they may be here already.
        rows = [row for row in rows if row.chunk_id not in self._living]
        start, end = self.count, self.count + len(rows)
        if end > len(self._ids):
            self._grow(max(end, 2 * len(self._ids)))
        for i, row in enumerate(rows, start):
            number = row.chunk_id >> POSITION_BITS
            self._matrix[i] = row.vector
            self._ids[i] = row.chunk_id
            self._documents[i] = self._places.setdefault(number, len(self._places))
            self._living[row.chunk_id] = i
        self._chunks_of = np.fromiter(self._places, np.int64) << POSITION_BITS
        self.count = end

    def remove(self, chunk_ids: Collection[int]) -> None:
        gone = [self._living.pop(i) for i in chunk_ids if i in self._living]
        self._documents[gone] = self._DEAD

    def search(
        self, vector: Vectors, limit: int, visible: Visible, approximate: Approximate | None
    ) -> list[Neighbour]:
        # Before all else: what is added meanwhile lies behind it.
        count = self.count
        # The last is for dead rows.
        wanted = np.append(visible.mask(self._chunks_of), False)
        seen = wanted[self._documents[:count]]
        if approximate is None:
            return self._nearest(vector, limit, seen)
        living = [each for each in approximate.nearest if each.chunk_id in self._living]
        if len(living) < min(limit, len(approximate.held)):
            # What is gone has left too few: compare all, rather than find less.
            return self._nearest(vector, limit, seen)
        newer = self._nearest(vector, limit, seen & self._newer_than(approximate.held, count))
        both = {each.chunk_id: each for each in (*living, *newer)}.values()
        return sorted(both, key=nearest_first)[:limit]

    def _newer_than(self, held: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
        """Which of the first `count` rows an index does not hold that holds these ids."""
        known = self._held
        if known is None or known[0] is not held:
            known = self._held = held, np.isin(self._ids[:count], held)
        newer = np.ones(count, dtype=bool)
        newer[: len(known[1])] = ~known[1][:count]
        return newer

    def _nearest(self, vector: Vectors, limit: int, seen: NDArray[np.bool_]) -> list[Neighbour]:
        count = len(seen)
        scores, ids = _products(self._matrix[:count], vector, seen), self._ids[:count][seen]
        if len(ids) > limit:
            near = scores >= np.partition(scores, -limit)[-limit]
            ids, scores = ids[near], scores[near]
        nearest = np.lexsort((ids, -scores))[:limit]
        return [
            Neighbour(chunk_id, similarity)
            for chunk_id, similarity in zip(
                ids[nearest].tolist(), scores[nearest].tolist(), strict=True
            )
        ]

    def _grow(self, capacity: int) -> None:
        for name in ("_matrix", "_ids", "_documents"):
            old = getattr(self, name)
            new = np.empty((capacity, *old.shape[1:]), dtype=old.dtype)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)


def _products(matrix: Vectors, vector: Vectors, seen: NDArray[np.bool_]) -> Vectors:
    """Those of the rows that are seen: run by run where others lie between them."""
    within = np.concatenate(([False], seen, [False]))
    runs = np.flatnonzero(within[1:] != within[:-1]).reshape(-1, 2)
    if np.count_nonzero(seen) + _PRODUCT_COSTS * len(runs) < len(matrix):
        products = [matrix[start:end] @ vector for start, end in runs.tolist()]
        return np.concatenate([np.empty(0, np.float32), *products])
    whole: Vectors = (matrix @ vector)[seen]
    return whole


def nearest_first(neighbour: Neighbour) -> tuple[float, int]:
    """A key to sort by."""
    return -neighbour.similarity, neighbour.chunk_id
