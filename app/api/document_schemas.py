"""What `/documents` answers: documents, their parts and their warnings."""

from dataclasses import asdict
from typing import Literal, Self

from fastapi import Request
from pydantic import BaseModel, Field

from app.access.keys import KeyScope
from app.events import ChunkKind, Jurisdiction
from app.retrieval.catalogue import Entry, Part
from app.retrieval.warnings import WarningKind, decoded


class WarningOut(BaseModel):
    """One thing that was not read, or not as it is written."""

    kind: WarningKind = Field(description="What it is about.")
    where: str = Field(description="The place in the file, such as `page 2`; empty for all of it.")
    detail: str = Field(description="What it is.")


class DocumentOut(BaseModel):
    """A document without its text."""

    id: str = Field(
        description="Its path below the folder without the ending, after the collection's name."
    )
    title: str = Field(description="Its title.")
    language: str = Field(description="The language it was recognised to be in.")
    root: str | None = Field(
        description="What it was taken from; told on the service's own machine only."
    )
    collection: str | None = Field(description="The collection it was put into.")
    access: str = Field(description="The group that may read it.")
    effective_date: str | None = Field(description="ISO date from which it holds.")
    supersedes: str | None = Field(description="The document that it replaces.")
    supersedes_found: bool = Field(description="False where `supersedes` names no document.")
    superseded: bool = Field(
        description="A newer one in force replaces it: found only when asked for."
    )
    jurisdiction: Jurisdiction | None = Field(description="How far a regulation reaches.")
    source: str | None = Field(description="What it was made from, as it says itself.")
    uri: str | None = Field(description="Where it was taken from, if it says so.")
    checked: str | None = Field(description="When it was last checked, as it says itself.")
    warnings: list[WarningOut] = Field(description="What was not read, or not as it is written.")
    marks: list[str] = Field(description="The warnings as text, a line each.")
    chunks: int = Field(description="Passages it was cut into.")
    vectors: Literal["pending", "ready"] = Field(
        description="`pending`: some passages are found by their words alone for now."
    )
    passages_with_vectors: int = Field(description="Passages that are found by their meaning too.")
    refused_by_embedder: int = Field(
        description="Passages that the embedder refuses: their words alone find them."
    )
    characters: int = Field(description="Length of its text.")

    @classmethod
    def of(cls, entry: Entry, request: Request) -> Self:
        """The entry as it is shown to who asks."""
        root = entry.root if request.state.caller.may(KeyScope.ADMIN) else None
        warnings = decoded(entry.marks)
        computed = {
            "root": root,
            "warnings": [WarningOut(**asdict(warning)) for warning in warnings],
            "marks": [str(warning) for warning in warnings],
            "vectors": "pending" if entry.pending_vectors else "ready",
            "passages_with_vectors": entry.chunks
            - entry.pending_vectors
            - entry.refused_by_embedder,
        }
        stored = {name: getattr(entry, name) for name in cls.model_fields if name not in computed}
        return cls(**stored, **computed)


class StoredOut(DocumentOut):
    """A document that was sent."""

    change: Literal["added", "changed", "unchanged"] = Field(description="What came of it.")


class SectionOut(BaseModel):
    """A part of a document under one heading, by its characters in the text."""

    section: str = Field(description="Title and headings above it.")
    start: int = Field(description="Where it begins in the document's text, in characters.")
    end: int = Field(description="Where it ends.")
    page: int | None = Field(description="The page on which it begins, where there are pages.")
    kind: ChunkKind = Field(description="`explanation`: of a statute, its official explanation.")

    @classmethod
    def of(cls, part: Part) -> Self:
        """The part as it is shown."""
        return cls(
            section=part.section, start=part.start, end=part.end, page=part.page, kind=part.kind
        )


class DocumentDetailOut(DocumentOut):
    """A document with its headings, and with its text where that was asked for."""

    sections: list[SectionOut] = Field(description="What it is made of, in order.")
    text: str | None = Field(default=None, description="Its text, where `text=true` asked for it.")


class DocumentListOut(BaseModel):
    """A page of documents by id; `total` counts all pages."""

    documents: list[DocumentOut] = Field(description="This page.")
    total: int = Field(description="Documents on all pages.")
    pending_vectors: int = Field(
        description="Passages of the documents on all pages that have no vector yet."
    )
