"""Chroma in a child process: approximate search in partitions that are too large to compare.

Chroma holds the interpreter while it writes, and some damage to its files ends the process that
opens them. The index is a copy of the store's vectors, one collection for each partition. It is
opened only where it was closed cleanly, else it is built again: whatever fails here leaves no note
that the index was closed, and the service ends this process.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
import numpy as np

from app.retrieval.data_lock import alone_in
from app.retrieval.embedder import Vectors
from app.retrieval.records import Neighbour, Partition, StoredVector
from app.retrieval.store import Store
from app.sandbox import serve

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection as ChromaCollection

_NOTE = "closed.json"
_BATCH = 1_000
# How many candidates a query follows through the graph. Of 6,088 passages in one language the 30
# nearest to a question were found for .91 with Chroma's default of 100 (.57 of them for one
# question), .97 with 200 and .99 with this, in the same 2 ms.
_SEARCHED = 400
# Passages that are looked up by their own vectors; the graph is not exact, so that of a sound one
# 98 in 100 are found.
_SAMPLE = 64
_MIN_FOUND = 0.9

Row = TypeVar("Row")


class Refresh(msgspec.Struct, frozen=True, tag=True):
    """Open the index if need be, and make it hold the store's chunks of these partitions.

    Attributes:
        directory: The index's; whatever is in it is the index's to delete.
        data_dir: The store's.
        made_by: The embedder. An index of another one is built again.
        partitions: All that the index is to hold.
    """

    directory: str
    data_dir: str
    made_by: str
    partitions: list[Partition]


class Search(msgspec.Struct, frozen=True, tag=True):
    """Find the nearest chunks.

    Attributes:
        queries: Of each partition the question's vector, as the bytes of 32-bit floats.
        limit: The most chunks of each partition.
    """

    queries: list[tuple[Partition, bytes]]
    limit: int


class Close(msgspec.Struct, frozen=True, tag=True):
    """Close the index cleanly."""


Request = Refresh | Search | Close


class _Note(msgspec.Struct, frozen=True):
    """What a cleanly closed index holds: chunks by the name of the collection."""

    made_by: str
    counts: dict[str, int]


class _Index:
    """The open index. Raises what Chroma raises, and `RuntimeError` for one that is damaged."""

    def __init__(self, directory: Path, made_by: str) -> None:
        self._directory = directory
        self._made_by = made_by
        self._collections: dict[Partition, ChromaCollection] = {}
        self._sizes: dict[Partition, int] = {}
        self._held = ExitStack()
        # The process of a service that was killed may not have ended yet.
        self._held.enter_context(alone_in(directory))
        note = self._take_note()
        if note is None:
            _empty(directory)
        self._client = _opened(directory)
        if note and note.counts != self._counts():
            raise RuntimeError("the index does not hold what it held when it was closed")

    def refresh(self, store: Store, partitions: Sequence[Partition]) -> list[bytes]:
        """Return the sorted ids of each partition's chunks, as the bytes of 64-bit integers."""
        for name in self._counts().keys() - {_name_of(partition) for partition in partitions}:
            self._client.delete_collection(name)
        wanted = store.chunk_ids()
        return [
            self._fill(partition, wanted.get(partition, set()), store) for partition in partitions
        ]

    def search(self, partition: Partition, vector: Vectors, limit: int) -> list[Neighbour]:
        """Return the nearest chunks, nearest first."""
        limit = min(limit, self._sizes[partition])
        found = _nearest(self._collections[partition], vector, limit)
        if len(found) < limit:
            raise RuntimeError("the index finds fewer chunks than it holds")
        return found

    def close(self) -> None:
        """Close the index, and note that it was closed."""
        note = _Note(self._made_by, self._counts())
        self._client.close()
        (self._directory / _NOTE).write_bytes(msgspec.json.encode(note))
        self._held.close()

    def _take_note(self) -> _Note | None:
        """Return what the last clean close noted, and remove it: it counts once."""
        path = self._directory / _NOTE
        try:
            note = msgspec.json.decode(path.read_bytes(), type=_Note)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        path.unlink()
        return note if note.made_by == self._made_by else None

    def _counts(self) -> dict[str, int]:
        return {each.name: each.count() for each in self._client.list_collections()}

    def _fill(self, partition: Partition, wanted: set[int], store: Store) -> bytes:
        collection = self._client.get_or_create_collection(
            _name_of(partition),
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "ef_search": _SEARCHED}},
        )
        present = _ids(collection)
        for page in _pages(iter(present - wanted)):
            collection.delete(ids=[str(chunk_id) for chunk_id in page])
        for rows in _pages(store.stored_vectors(wanted - present)):
            collection.add(
                ids=[str(row.chunk_id) for row in rows],
                embeddings=np.stack([row.vector for row in rows]),
            )
        ids = np.sort(np.fromiter(_ids(collection), np.int64))
        _check(collection, store.stored_vectors(ids[:: max(1, len(ids) // _SAMPLE)].tolist()))
        self._collections[partition], self._sizes[partition] = collection, len(ids)
        return ids.tobytes()


def _check(collection: "ChromaCollection", sample: Iterator[StoredVector]) -> None:
    """Look chunks up by their own vectors: damage to a graph need not show in the list of ids."""
    # The nearest may be another chunk with the same text.
    found = [_nearest(collection, row.vector, 1) for row in sample]
    right = sum(bool(nearest) and nearest[0].similarity > 0.999 for nearest in found)
    if right < _MIN_FOUND * len(found):
        raise RuntimeError(f"the index finds {right} of {len(found)} of its own vectors")


def _nearest(collection: "ChromaCollection", vector: Vectors, limit: int) -> list[Neighbour]:
    found = collection.query(
        query_embeddings=vector[np.newaxis], n_results=limit, include=["distances"]
    )
    assert found["distances"] is not None
    return [
        Neighbour(int(chunk_id), 1.0 - distance)
        for chunk_id, distance in zip(found["ids"][0], found["distances"][0], strict=True)
    ]


def _ids(collection: "ChromaCollection") -> set[int]:
    return {int(chunk_id) for chunk_id in collection.get(include=[])["ids"]}


def _pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while page := list(islice(rows, _BATCH)):
        yield page


def _name_of(partition: Partition) -> str:
    state = "superseded" if partition.superseded else "current"
    return f"{partition.language}.{partition.access}.{state}"


def _empty(directory: Path) -> None:
    """Remove all that is in the directory; it stays, since it is locked."""
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _opened(directory: Path) -> "Client":
    # chromadb takes more than a second to import: the service never does.
    from chromadb import PersistentClient
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False)
    return cast("Client", PersistentClient(str(directory), settings))


class _Server:
    """Carries out the service's requests."""

    def __init__(self) -> None:
        self._index: _Index | None = None

    def handle(self, request: Request) -> object:
        """Carry one out; what comes back is for `ChromaIndex`."""
        match request:
            case Refresh():
                self._index = self._index or _Index(Path(request.directory), request.made_by)
                with closing(Store(Path(request.data_dir))) as store:
                    return self._index.refresh(store, request.partitions)
            case Search():
                assert self._index
                return [
                    self._index.search(partition, np.frombuffer(vector, np.float32), request.limit)
                    for partition, vector in request.queries
                ]
            case Close():
                assert self._index
                self._index.close()
                return True


if __name__ == "__main__":
    serve(_Server().handle, Request)  # type: ignore[arg-type]  # msgspec takes unions
