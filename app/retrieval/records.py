"""What the store keeps and hands out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from app.events import Jurisdiction

if TYPE_CHECKING:  # numpy takes 0.1 s: the commands that need no vectors go without
    from app.retrieval.embedder import Vectors

PUBLIC = "public"
"""The access group of every caller."""

ACCESS_GROUP = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""Names of access groups: they are a part of the names of Chroma's collections."""


POSITION_BITS = 18
"""Of a chunk's id, for its place in the document: 262,144 chunks in a document of 20 MB.

The bits above stand for the document as it is: two of 10,000 clash once in 700,000 times.
"""


class Partition(NamedTuple):
    """Documents that a search takes or leaves together."""

    language: str
    access: str
    superseded: bool


@dataclass(frozen=True, slots=True)
class Document:
    """An ingested document. `root` names what it was ingested from; dates are ISO.

    `access` is the one group that may read it, `supersedes` the id of the document
    that it replaces; `marks` are its warnings, encoded, one a line.
    """

    id: str
    root: str
    title: str
    language: str
    content_hash: str
    text: str
    uri: str | None = None
    source: str | None = None
    effective_date: str | None = None
    checked: str | None = None
    collection: str | None = None
    access: str = PUBLIC
    supersedes: str | None = None
    jurisdiction: Jurisdiction | None = None
    marks: str = ""

    def __post_init__(self) -> None:
        if not ACCESS_GROUP.fullmatch(self.access):
            raise ValueError(f"{self.access!r} is no name of an access group")


@dataclass(frozen=True, slots=True)
class Identity:
    """Enough of a stored document to tell whether a file is that document, unchanged."""

    root: str
    content_hash: str
    collection: str | None = None
    access: str = PUBLIC


@dataclass(frozen=True, slots=True)
class StoredVector:
    """A chunk as the vector index holds it."""

    chunk_id: int
    document_id: str
    partition: Partition
    vector: "Vectors"


class Neighbour(NamedTuple):
    """A chunk and the cosine of its vector with the question's, -1 to 1."""

    chunk_id: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Change:
    """What a write did to the chunks, by partition: what moved left one and is in another."""

    added: Sequence[StoredVector]
    removed: Mapping[Partition, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Stats:
    """How much is indexed."""

    documents: int
    chunks: int
