"""What the store keeps and hands out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.events import Jurisdiction
from app.retrieval.embedder import Vectors

PUBLIC = "public"
"""The access group of every caller."""


@dataclass(frozen=True, slots=True)
class Document:
    """An ingested document. `root` names what it was ingested from; dates are ISO.

    `access` is the one group that may read it, `supersedes` the id of the document
    that it replaces; `marks` are the remarks made at the door, one a line.
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


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """What a search is narrowed to; an empty set narrows nothing."""

    document_ids: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Identity:
    """Enough of a stored document to tell whether a file is that document, unchanged."""

    root: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class StoredVector:
    """A chunk as the vector index holds it."""

    chunk_id: int
    document_id: str
    language: str
    vector: Vectors


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A chunk and the cosine of its vector with the question's, -1 to 1."""

    chunk_id: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Change:
    """What a write did to the chunks; `removed` maps a language to chunk ids."""

    added: Sequence[StoredVector]
    removed: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Stats:
    """How much is indexed."""

    documents: int
    chunks: int
