"""The dense index: Chroma, derived from the store and rebuilt from it.

One collection per partition: `where` filters are what is slow in Chroma (at
100,000 vectors 132 ms instead of 2 ms for one that keeps a third).
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from app.errors import VectorsUnavailable
from app.retrieval import chroma_client
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.records import Neighbour, Partition, StoredVector

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection as ChromaCollection

# A write holds the interpreter from its beginning to its end, in any thread: embedded, it is done
# in another process (`index_child`); to a server the vectors are written as JSON.
BATCH = 8
_PAUSE_S = 0.005

# Killed in an upsert, the index tore in 2 of 3 series with the default of 1,000 and in
# 0 of 24 with this: what is written meanwhile stands in Chroma's log.
_SYNC_THRESHOLD = 100_000

# Collections asked at once: three of 32,000 vectors take 5.6 ms so, and 8.3 one after the other.
_AT_ONCE = 2

# How many candidates a query follows through the graph. Of 6,088 passages in one language the 30
# nearest to a question were found for .91 with Chroma's default of 100 (.57 of them for one
# question), .97 with 200 and .99 with this, in the same 2 ms.
_SEARCHED = 400
_CONFIGURATION = {"sync_threshold": _SYNC_THRESHOLD, "ef_search": _SEARCHED}

# Chunks whose own vectors are looked up to see whether an index works, of each partition;
# the graph is not exact, so that of sound ones 98 in 100 are found.
_SAMPLE = 64
_MIN_FOUND = 0.9


@dataclass(frozen=True, slots=True)
class MadeBy:
    """Whose vectors an index holds."""

    embedder: str
    dimension: int

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for the embedder."""
        return blake2b(f"{self.embedder} {self.dimension}".encode(), digest_size=6).hexdigest()

    @classmethod
    def of(cls, embedder: Embedder) -> "MadeBy":
        """This embedder's."""
        return cls(embedder.name, embedder.dimension)


class VectorIndex:
    """Nearest chunks by vector. Calls block; raises `VectorsUnavailable`.

    `store_id` keeps collections of different stores apart.
    """

    def __init__(
        self, client: "Client", store_id: str, made_by: MadeBy, batch: int = BATCH
    ) -> None:
        self._client = client
        self._prefix = f"zantara-{store_id}-"
        self._made_by = asdict(made_by)
        self._batch = batch
        self._searching = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="chroma")
        try:
            with chroma_client.failures():
                self._collections = {
                    partition: self._collection(name)
                    for name in [c.name for c in client.list_collections()]
                    if name.startswith(self._prefix)
                    and (partition := _partition_of(name.removeprefix(self._prefix)))
                }
        except VectorsUnavailable:
            self.close()
            raise

    @classmethod
    def embedded(
        cls, directory: Path, store_id: str, made_by: MadeBy, batch: int = BATCH
    ) -> "VectorIndex":
        """Open the index in a directory, in this process."""
        return cls(chroma_client.embedded(directory), store_id, made_by, batch)

    def close(self) -> None:
        """Let go of the directory or the connections."""
        self._searching.shutdown()
        chroma_client.close(self._client)

    def search(
        self,
        vector: Vectors,
        limit: int,
        wanted: Callable[[Partition], bool],
        by_language: Mapping[str, Vectors] = MappingProxyType({}),
    ) -> dict[Partition, list[Neighbour]]:
        """Of each `wanted` partition what is nearest to `vector`, or to the vector of its language.

        At most `limit` each, nearest first.
        """
        asked = [each for each in list(self._collections.items()) if wanted(each[0])]
        with chroma_client.failures():
            found = self._searching.map(
                lambda each: _nearest(each[1], by_language.get(each[0].language, vector), limit),
                asked,
            )
            return {
                partition: nearest for (partition, _), nearest in zip(asked, found, strict=True)
            }

    def add(self, rows: Iterable[StoredVector]) -> None:
        """Put chunks in, or in the place of those with their ids."""
        by_partition: dict[Partition, list[StoredVector]] = {}
        for row in rows:
            by_partition.setdefault(row.partition, []).append(row)
        with chroma_client.failures():
            for partition, members in by_partition.items():
                collection = self._collections.get(partition)
                if collection is None:
                    collection = self._collection(self._prefix + _name_of(partition))
                    self._collections[partition] = collection
                for start in range(0, len(members), self._batch):
                    time.sleep(_PAUSE_S)
                    batch = members[start : start + self._batch]
                    collection.upsert(
                        ids=[str(row.chunk_id) for row in batch],
                        embeddings=np.stack([row.vector for row in batch]),
                        metadatas=[{"document_id": row.document_id} for row in batch],
                    )

    def remove(self, chunk_ids: Mapping[Partition, Iterable[int]]) -> None:
        """Take chunks out, by partition; ids that are not there are passed over."""
        with chroma_client.failures():
            for partition, ids in chunk_ids.items():
                if collection := self._collections.get(partition):
                    names = [str(chunk_id) for chunk_id in ids]
                    for start in range(0, len(names), self._batch):
                        time.sleep(_PAUSE_S)
                        collection.delete(ids=names[start : start + self._batch])

    def reconcile(
        self,
        read_ids: Callable[[], Mapping[Partition, set[int]]],
        read_vectors: Callable[[Collection[int]], Iterable[StoredVector]],
    ) -> int:
        """Make the index hold exactly the store's chunks; how many rows that took."""
        missing, superfluous = self._differences(read_ids)
        self.remove(superfluous)
        self.add(read_vectors(missing))
        return len(missing) + sum(map(len, superfluous.values()))

    def differing(self, read_ids: Callable[[], Mapping[Partition, set[int]]]) -> int:
        """How many rows the index lacks, or has too many."""
        missing, superfluous = self._differences(read_ids)
        return len(missing) + sum(map(len, superfluous.values()))

    def set_sync_threshold(self, rows: int = _SYNC_THRESHOLD) -> None:
        """After how many rows of its log Chroma writes the graph; from the next opening on."""
        with chroma_client.failures():
            for collection in self._collections.values():
                collection.modify(configuration={"hnsw": {"sync_threshold": rows}})

    def verify(self, read_vectors: Callable[[Collection[int]], Iterable[StoredVector]]) -> None:
        """Look chunks up by their own vectors. Raises `VectorsUnavailable` if they are not found.

        Damage to a graph need not show in its list of ids.
        """
        with chroma_client.failures():
            for partition, collection in self._collections.items():
                ids = [int(i) for i in collection.get(include=[])["ids"]]
                sample = list(read_vectors(ids[:: max(1, len(ids) // _SAMPLE)]))
                found = [_nearest(collection, row.vector, 1) for row in sample]
                # The nearest may be another chunk of the same words.
                right = sum(bool(n) and n[0].similarity > 0.999 for n in found)
                if right < _MIN_FOUND * len(sample):
                    raise VectorsUnavailable(
                        f"{_name_of(partition)} finds {right} of {len(sample)} of its own vectors"
                    )

    def _differences(
        self, read_ids: Callable[[], Mapping[Partition, set[int]]]
    ) -> tuple[set[int], dict[Partition, set[int]]]:
        """Chunk ids that are missing, and superfluous ones by partition.

        `read_ids` gives the store's. It is called after the index is read: a chunk is
        stored before it is indexed, so that none that somebody is just adding looks
        superfluous.
        """
        with chroma_client.failures():
            present = {
                partition: {int(i) for i in collection.get(include=[])["ids"]}
                for partition, collection in self._collections.items()
            }
        wanted = read_ids()
        superfluous = {part: ids - wanted.get(part, set()) for part, ids in present.items()}
        missing = {i for part, ids in wanted.items() for i in ids - present.get(part, set())}
        return missing, superfluous

    def _collection(self, name: str) -> "ChromaCollection":
        collection = self._create(name)
        if collection.metadata != self._made_by:
            # Another embedder's vectors mean nothing beside ours.
            self._client.delete_collection(name)
            collection = self._create(name)
        elif (collection.configuration_json.get("hnsw") or {}).get("ef_search") != _SEARCHED:
            collection.modify(configuration={"hnsw": {"ef_search": _SEARCHED}})
        return collection

    def _create(self, name: str) -> "ChromaCollection":
        return chroma_client.collection(
            self._client,
            name,
            configuration={"hnsw": {"space": "cosine", **_CONFIGURATION}},
            metadata=self._made_by,
        )


def _nearest(collection: "ChromaCollection", vector: Vectors, limit: int) -> list[Neighbour]:
    found = collection.query(
        query_embeddings=vector[np.newaxis], n_results=limit, include=["distances"]
    )
    assert found["distances"] is not None
    return [
        Neighbour(int(chunk_id), 1.0 - distance)
        for chunk_id, distance in zip(found["ids"][0], found["distances"][0], strict=True)
    ]


def _name_of(partition: Partition) -> str:
    state = "superseded" if partition.superseded else "current"
    return f"{partition.language}.{partition.access}.{state}"


def _partition_of(name: str) -> Partition | None:
    """None for a name that we did not give."""
    match name.split("."):
        case [language, access, ("current" | "superseded") as state]:
            return Partition(language, access, state == "superseded")
    return None
