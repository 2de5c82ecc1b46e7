"""The documents of all processes on one Chroma server, in a collection of it.

Each process holds them all in a store of its own, from which it answers. A document
is one record a megabyte, compressed, under a version that is its digest. After
each change the collection gets a new token, so that looking for changes is one
small request.
"""

import json
import logging
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from app.retrieval import chroma_client
from app.retrieval.chunking import Chunk
from app.retrieval.embedder import Vectors
from app.retrieval.fingerprints import Fingerprint
from app.retrieval.records import Change, Document
from app.retrieval.store import Contents, Store

if TYPE_CHECKING:
    from chromadb.api.client import Client

logger = logging.getLogger(__name__)

_PART_CHARACTERS = 1_000_000
# Every record of a collection has a vector.
_NO_VECTOR = np.ones((1, 1), dtype=np.float32)


class SharedDocuments:
    """Sends this store's changes and takes the others'. Calls block.

    The caller sees to it that the store does not change meanwhile. Raises
    `VectorsUnavailable` and `StorageFailed`.
    """

    def __init__(self, client: "Client", name: str, store: Store) -> None:
        self._client = client
        self._name = name
        self._store = store
        self._seen: str | None = None
        with chroma_client.failures():
            # What is there already keeps its generation.
            self._collection = chroma_client.collection(client, name, metadata=_token(uuid4().hex))
            self._generation = str((self._collection.metadata or {})["generation"])
        store.outbox.begin(self._generation)

    def send(self) -> None:
        """Share what was changed here since the last time."""
        waiting = self._store.outbox.waiting()
        with chroma_client.failures():
            for document_id in waiting:
                contents = self._store.contents(document_id)
                version = self._put(contents) if contents else None
                self._drop_others(document_id, version)
                self._store.outbox.sent(document_id, version)
            if waiting:
                self._collection.modify(metadata=_token(self._generation))

    def take(self) -> Iterator[Change]:
        """Bring the store up to the server; nothing to do costs one small request.

        What waits to be sent is sent first, so that a change made here stays.
        """
        with chroma_client.failures():
            found = self._client.get_collection(self._name, embedding_function=None)
            token = (found.metadata or {}).get("token")
        if token == self._seen and not self._store.outbox.waiting():
            return
        self._skip_what_is_there_already()
        self.send()
        theirs, ours = self._versions(), self._store.outbox.versions()
        whole = True
        for document_id, version in theirs.items():
            if ours.get(document_id) != version:
                contents = self._get(document_id, version)
                if contents:
                    yield self._store.replace_document(**contents._asdict(), version=version)
                else:
                    whole = False  # it is just being replaced
        for document_id in ours.keys() - theirs.keys():
            change = self._store.delete_document(document_id)
            self._store.outbox.sent(document_id, None)
            if change:
                yield change
        self._seen = token if whole else None

    def _skip_what_is_there_already(self) -> None:
        """A fresh process has indexed the bundled documents that another one has shared."""
        theirs = self._versions()
        for document_id in self._store.outbox.waiting():
            contents = self._store.contents(document_id)
            if contents and theirs.get(document_id) == _version(_packed(contents)):
                self._store.outbox.sent(document_id, theirs[document_id])

    def _versions(self) -> dict[str, str]:
        with chroma_client.failures():
            found = self._collection.get(where={"part": 0}, include=["metadatas"])
        metadatas: list[Any] = found["metadatas"] or []
        return {m["document_id"]: m["version"] for m in metadatas}

    def _put(self, contents: Contents) -> str:
        packed = _packed(contents)
        version = _version(packed)
        text = b64encode(packed).decode()
        starts = range(0, len(text), _PART_CHARACTERS)
        parts = [text[start : start + _PART_CHARACTERS] for start in starts]
        # The first part names the version to others: it comes last.
        for part in reversed(range(len(parts))):
            document_id = contents.document.id
            self._collection.upsert(
                ids=[f"{part}/{document_id}"],
                embeddings=_NO_VECTOR,
                documents=[parts[part]],
                metadatas=[
                    {
                        "document_id": document_id,
                        "version": version,
                        "part": part,
                        "parts": len(parts),
                    }
                ],
            )
        return version

    def _drop_others(self, document_id: str, version: str | None) -> None:
        """Remove a document's records, but those of this version."""
        condition: Any = {"document_id": document_id}
        if version:
            condition = {"$and": [condition, {"version": {"$ne": version}}]}
        self._collection.delete(where=condition)

    def _get(self, document_id: str, version: str) -> Contents | None:
        """None while it is not all there."""
        with chroma_client.failures():
            found = self._collection.get(
                where={"$and": [{"document_id": document_id}, {"version": version}]},
                include=["documents", "metadatas"],
            )
        metadatas: list[Any] = found["metadatas"] or []
        parts = sorted(
            (m["part"], text) for m, text in zip(metadatas, found["documents"] or [], strict=True)
        )
        if not parts or len(parts) != metadatas[0]["parts"]:
            return None
        return _unpacked(b64decode("".join(text for _, text in parts)))


def _token(generation: str) -> dict[str, str]:
    return {"generation": generation, "token": uuid4().hex}


def _version(packed: bytes) -> str:
    return blake2b(packed, digest_size=16).hexdigest()


def _packed(contents: Contents) -> bytes:
    vectors = np.stack([contents.vectors[key] for key in contents.keys])
    package = {
        "document": asdict(contents.document),
        "chunks": [asdict(chunk) for chunk in contents.chunks],
        "keys": list(contents.keys),
        "vectors": b64encode(vectors.tobytes()).decode(),
        "fingerprint": contents.fingerprint and asdict(contents.fingerprint),
    }
    return zlib.compress(json.dumps(package, sort_keys=True).encode(), level=1)


def _unpacked(packed: bytes) -> Contents:
    package = json.loads(zlib.decompress(packed))
    keys: list[str] = package["keys"]
    vectors = np.frombuffer(b64decode(package["vectors"]), dtype=np.float32)
    by_key: dict[str, Vectors] = dict(zip(keys, vectors.reshape(len(keys), -1), strict=True))
    fingerprint = package["fingerprint"]
    return Contents(
        Document(**package["document"]),
        [Chunk(**chunk) for chunk in package["chunks"]],
        keys,
        by_key,
        fingerprint and Fingerprint(fingerprint["whole"], tuple(fingerprint["samples"])),
    )
