"""`/documents`: upload, list, look at and delete what the knowledge base holds."""

from datetime import date
from typing import Annotated, Literal, Self
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.api.deps import GroupsDep, KnowledgeBaseDep
from app.api.streaming import while_connected
from app.events import ChunkKind, Jurisdiction
from app.retrieval.catalogue import Entry, Part
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.options import NAME_PATTERN, IngestOptions
from app.retrieval.records import PUBLIC
from app.retrieval.sources import UPLOADED

router = APIRouter(prefix="/documents")

MAX_ID_CHARACTERS = 500
MAX_PAGE = 500

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
DocumentId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


class DocumentOut(BaseModel):
    """A document without its text."""

    id: str
    title: str
    language: str
    collection: str | None
    access: str = Field(description="The group that may read it.")
    effective_date: str | None
    supersedes: str | None = Field(description="The document that it replaces.")
    superseded: bool = Field(description="A newer one replaces it: found only when asked for.")
    jurisdiction: Jurisdiction | None = Field(description="How far a regulation reaches.")
    source: str | None
    uri: str | None
    checked: str | None
    marks: list[str] = Field(description="What was remarked on when it was taken in.")
    chunks: int
    characters: int

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """The entry as it is shown."""
        shown = {name: getattr(entry, name) for name in cls.model_fields}
        return cls(**{**shown, "marks": entry.marks.splitlines()})


class StoredOut(DocumentOut):
    """A document that was sent."""

    change: Literal["added", "changed", "unchanged"]


class SectionOut(BaseModel):
    """A part of a document under one heading, by its characters in the text."""

    section: str
    start: int
    end: int
    page: int | None
    kind: ChunkKind

    @classmethod
    def of(cls, part: Part) -> Self:
        """The part as it is shown."""
        return cls(
            section=part.section, start=part.start, end=part.end, page=part.page, kind=part.kind
        )


class DocumentDetailOut(DocumentOut):
    """A document with its headings, and with its text where that was asked for."""

    sections: list[SectionOut]
    text: str | None = None


class DocumentListOut(BaseModel):
    """A page of documents by id; `total` counts all pages."""

    documents: list[DocumentOut]
    total: int


@router.post(
    "",
    status_code=201,
    responses={
        200: {"description": "The document was there; `change` says whether it changed."},
        413: {"description": "The file is larger than MAX_UPLOAD_BYTES."},
        422: {"description": "The file cannot be indexed, or should not be; `detail` says why."},
    },
)
async def upload(
    request: Request,
    response: Response,
    knowledge_base: KnowledgeBaseDep,
    file: UploadFile,
    collection: Annotated[Name | None, Form()] = None,
    access: Annotated[Name, Form()] = PUBLIC,
    force: Annotated[bool, Form()] = False,
    effective_date: Annotated[date | None, Form()] = None,
    supersedes: Annotated[DocumentId | None, Form()] = None,
    root: Annotated[str, Form(min_length=1, max_length=1_000)] = UPLOADED,
) -> StoredOut:
    """Index a file: Markdown, text, HTML, PDF, DOCX, CSV, JSON or JSON lines, by its name.

    The document's id is the name without its ending, after the collection's and a slash. What
    was there under that id is replaced at once, when all of the new one is indexed.
    """
    limit: int = request.state.max_upload_bytes
    content = await file.read(limit + 1)
    if len(content) > limit:
        raise HTTPException(413, f"the file is larger than {limit} bytes")
    options = IngestOptions(
        collection=collection,
        access=access,
        force=force,
        effective_date=effective_date.isoformat() if effective_date else None,
        supersedes=supersedes,
    )
    adding = knowledge_base.add_upload(file.filename or "", content, options, root)
    stored = await while_connected(request, adding)
    response.status_code = 201 if stored.change == "added" else 200
    response.headers["Location"] = f"/documents/{quote(stored.document_id)}"
    entry = await knowledge_base.catalogue.entry(stored.document_id, frozenset({access}))
    if entry is None:  # somebody deleted it a moment ago
        raise _none_such()
    return StoredOut(**dict(DocumentOut.of(entry)), change=stored.change)


@router.get("")
async def documents(
    knowledge_base: KnowledgeBaseDep,
    groups: GroupsDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    languages: Annotated[list[Literal["en", "id", "it"]], Query()] = [],  # noqa: B006 - copied
    collections: Annotated[list[Name], Query(max_length=100)] = [],  # noqa: B006 - copied
    include_superseded: bool = True,
    root: Annotated[str | None, Query(max_length=1_000)] = None,
) -> DocumentListOut:
    """List documents by id."""
    filters = SearchFilters(
        languages=frozenset(languages),
        collections=frozenset(collections),
        include_superseded=include_superseded,
    )
    scope = Scope(filters, groups)
    entries, total = await knowledge_base.catalogue.entries(scope, limit, offset, root)
    return DocumentListOut(documents=[DocumentOut.of(entry) for entry in entries], total=total)


@router.get("/{document_id:path}", responses={404: {"description": "No such document."}})
async def document(
    document_id: DocumentId,
    knowledge_base: KnowledgeBaseDep,
    groups: GroupsDep,
    text: bool = False,
) -> DocumentDetailOut:
    """One document: what is known of it, its headings, and with `text=true` its text."""
    catalogue = knowledge_base.catalogue
    entry = await catalogue.entry(document_id, groups)
    if entry is None:
        raise _none_such()
    return DocumentDetailOut(
        **dict(DocumentOut.of(entry)),
        sections=[SectionOut.of(part) for part in await catalogue.parts(document_id)],
        text=await catalogue.text(document_id) if text else None,
    )


@router.delete(
    "/{document_id:path}", status_code=204, responses={404: {"description": "No such document."}}
)
async def delete(
    document_id: DocumentId, knowledge_base: KnowledgeBaseDep, groups: GroupsDep
) -> None:
    """Forget a document. A bundled one is back at the next start."""
    entry = await knowledge_base.catalogue.entry(document_id, groups)
    if entry is None or not await knowledge_base.delete(document_id):
        raise _none_such()


def _none_such() -> HTTPException:
    return HTTPException(404, "there is no such document")
