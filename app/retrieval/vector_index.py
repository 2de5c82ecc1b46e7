"""The dense index: Chroma, derived from the store and rebuilt from it.

One collection per partition: `where` filters are what is slow in Chroma (at
100,000 vectors 132 ms instead of 2 ms for one that keeps a third).
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import httpx
import numpy as np

from app.errors import VectorsUnavailable
from app.retrieval.filters import Scope
from app.retrieval.records import Neighbour, Partition, StoredVector

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection as ChromaCollection

    from app.retrieval.embedder import Embedder, Vectors

DIRECTORY = "chroma"

# Writes hold the interpreter: 1,000 rows stalled the event loop for 0.65 to 1.0 s,
# 32 rows for 45 ms.
_BATCH = 32

_HNSW = {
    "space": "cosine",
    # Killed in an upsert, the index tore in 2 of 3 series with the default of 1,000
    # and in 0 of 24 with this.
    "sync_threshold": 100_000,
}

# Chroma's own client waits for ever.
_SERVER_TIMEOUT_S = 5.0


class VectorIndex:
    """Nearest chunks by vector. Calls block; raises `VectorsUnavailable`.

    `store_id` keeps the chunk ids of different stores apart on one server.
    """

    def __init__(self, client: "Client", store_id: str, embedder: "Embedder") -> None:
        self._client = client
        self._prefix = f"zantara-{store_id}-"
        self._made_by = {"embedder": embedder.name, "dimension": embedder.dimension}
        with _failures():
            self._collections = {
                partition: self._collection(name)
                for name in [c.name for c in client.list_collections()]
                if name.startswith(self._prefix)
                and (partition := _partition_of(name.removeprefix(self._prefix)))
            }

    @classmethod
    def embedded(cls, data_dir: Path, store_id: str, embedder: "Embedder") -> "VectorIndex":
        """Open the index in `data_dir`, in this process."""
        # chromadb takes more than a second to import: the service listens meanwhile.
        from chromadb.api import ServerAPI
        from chromadb.api.client import Client
        from chromadb.config import Settings, System

        settings = Settings(
            anonymized_telemetry=False,
            is_persistent=True,
            persist_directory=str(data_dir / DIRECTORY),
        )
        with _failures():
            # PersistentClient keeps a system that failed to start and hands it out for
            # the same directory ever after: start it first.
            system = System(settings)
            system.instance(ServerAPI)  # type: ignore[type-abstract]  # looked up, not made
            system.start()
            client = Client.from_system(system)
        return cls._open(client, store_id, embedder)

    @classmethod
    def served(cls, url: str, store_id: str, embedder: "Embedder") -> "VectorIndex":
        """Connect to the Chroma server at `url`."""
        from chromadb import HttpClient
        from chromadb.config import Settings

        parts = httpx.URL(url)
        ssl = parts.scheme == "https"
        try:
            # HttpClient waits without a limit: ask first.
            with _failures():
                heartbeat = httpx.get(f"{url}/api/v2/heartbeat", timeout=_SERVER_TIMEOUT_S)
                heartbeat.raise_for_status()
                client = HttpClient(
                    parts.host,
                    parts.port or (443 if ssl else 80),
                    ssl,
                    settings=Settings(anonymized_telemetry=False),
                )
        except ValueError as error:
            # What HttpClient makes of any failure while it connects.
            raise VectorsUnavailable(f"Chroma: {error}") from error
        for session in _sessions(client):
            session.timeout = httpx.Timeout(_SERVER_TIMEOUT_S)
            # A gateway's error page would come out as a plain Exception.
            session.event_hooks = {"response": [_refuse_server_errors]}
        return cls._open(cast("Client", client), store_id, embedder)

    @classmethod
    def _open(cls, client: "Client", store_id: str, embedder: "Embedder") -> "VectorIndex":
        try:
            return cls(client, store_id, embedder)
        except VectorsUnavailable:
            _close(client)
            raise

    def close(self) -> None:
        """Let go of the directory or the connections."""
        _close(self._client)

    def search(
        self,
        vector: "Vectors",
        limit: int,
        scope: Scope,
        translations: Mapping[str, "Vectors"] = MappingProxyType({}),
    ) -> dict[str, list[Neighbour]]:
        """For each language its chunks nearest to `vector`, or to the translation's into it.

        At most `limit` each, nearest first. Of the scope only whole partitions are heeded.
        """
        found: dict[str, list[Neighbour]] = {}
        with _failures():
            for partition, collection in list(self._collections.items()):
                if scope.covers(partition):
                    asked = translations.get(partition.language, vector)
                    nearest = _nearest(collection, asked, limit)
                    found.setdefault(partition.language, []).extend(nearest)
        return {
            language: sorted(neighbours, key=lambda n: (-n.similarity, n.chunk_id))[:limit]
            for language, neighbours in sorted(found.items())
            if neighbours
        }

    def add(self, rows: Iterable[StoredVector]) -> None:
        """Put chunks in, or in the place of those with their ids."""
        by_partition: dict[Partition, list[StoredVector]] = {}
        for row in rows:
            by_partition.setdefault(row.partition, []).append(row)
        with _failures():
            for partition, members in by_partition.items():
                collection = self._collections.get(partition)
                if collection is None:
                    collection = self._collection(self._prefix + _name_of(partition))
                    self._collections[partition] = collection
                for start in range(0, len(members), _BATCH):
                    batch = members[start : start + _BATCH]
                    collection.upsert(
                        ids=[str(row.chunk_id) for row in batch],
                        embeddings=np.stack([row.vector for row in batch]),
                        metadatas=[{"document_id": row.document_id} for row in batch],
                    )

    def remove(self, chunk_ids: Mapping[Partition, Iterable[int]]) -> None:
        """Take chunks out, by partition; ids that are not there are passed over."""
        with _failures():
            for partition, ids in chunk_ids.items():
                if collection := self._collections.get(partition):
                    names = [str(chunk_id) for chunk_id in ids]
                    for start in range(0, len(names), _BATCH):
                        collection.delete(ids=names[start : start + _BATCH])

    def reconcile(
        self,
        read_ids: Callable[[], Mapping[Partition, set[int]]],
        read_vectors: Callable[[Collection[int]], Iterable[StoredVector]],
    ) -> int:
        """Make the index hold exactly the store's chunks; how many rows that took.

        `read_ids` gives the store's chunk ids by partition. It is called after the
        index is read: a chunk is stored before it is indexed, so that none that
        somebody is just adding looks superfluous.
        """
        with _failures():
            present = {
                partition: {int(i) for i in collection.get(include=[])["ids"]}
                for partition, collection in self._collections.items()
            }
        wanted = read_ids()
        superfluous = {part: ids - wanted.get(part, set()) for part, ids in present.items()}
        missing = {i for part, ids in wanted.items() for i in ids - present.get(part, set())}
        self.remove(superfluous)
        self.add(read_vectors(missing))
        # Damage that the lists of ids do not show (a zeroed data file) fails here and
        # not in the first question.
        probe = np.ones(cast("int", self._made_by["dimension"]), dtype=np.float32)
        with _failures():
            for collection in self._collections.values():
                _nearest(collection, probe, 1)
        return len(missing) + sum(map(len, superfluous.values()))

    def _collection(self, name: str) -> "ChromaCollection":
        collection = self._create(name)
        if collection.metadata != self._made_by:
            # Another embedder's vectors mean nothing beside ours.
            self._client.delete_collection(name)
            collection = self._create(name)
        return collection

    def _create(self, name: str) -> "ChromaCollection":
        return self._client.get_or_create_collection(
            name,
            embedding_function=None,
            configuration=cast("Any", {"hnsw": _HNSW}),
            metadata=self._made_by,
        )


def _nearest(collection: "ChromaCollection", vector: "Vectors", limit: int) -> list[Neighbour]:
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


def set_aside(data_dir: Path) -> Path | None:
    """Move an index that cannot be used out of the way; where to, None when there is none."""
    directory = data_dir / DIRECTORY
    if not directory.exists():
        return None
    for earlier in data_dir.glob(f"{DIRECTORY}.broken-*"):
        # One is enough to look into; a disk that fails again and again must not fill up.
        shutil.rmtree(earlier)
    return directory.rename(data_dir / f"{DIRECTORY}.broken-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")


@contextmanager
def _failures() -> Iterator[None]:
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, httpx.HTTPError) as error:
        raise VectorsUnavailable(f"Chroma: {error or type(error).__name__}") from error


def _sessions(client: Any) -> list[httpx.Client]:
    """The connections of a client to a server; none when it is embedded.

    Chroma 1.5.9 has no door to them, gives them no time limit and never closes them.
    """
    parts = (client._server, client._admin_client._server)
    return [part._session for part in parts if hasattr(part, "_session")]


def _close(client: "Client") -> None:
    sessions = _sessions(client)
    client.close()
    for session in sessions:
        session.close()


def _refuse_server_errors(response: httpx.Response) -> None:
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise httpx.HTTPStatusError(
            f"HTTP {response.status_code}", request=response.request, response=response
        )
