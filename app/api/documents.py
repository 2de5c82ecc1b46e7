"""`/documents`: upload, list, look at and delete what the knowledge base holds."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Literal, Self
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Path, Query, Request, Response, UploadFile
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.access.keys import KeyScope
from app.api.callers import needs
from app.api.deps import CallerDep, KnowledgeBaseDep, ManagedGroupsDep
from app.api.forms import OneFileRoute
from app.api.schemas import LanguageCode
from app.api.senders import check_sender, origin_of, own_name
from app.api.streaming import while_connected
from app.events import ChunkKind, Jurisdiction
from app.retrieval.catalogue import Entry, Part
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.options import NAME_PATTERN, IngestOptions
from app.retrieval.records import ACCESS_GROUP, PUBLIC
from app.retrieval.sources import UPLOADED
from app.retrieval.warnings import WarningKind, decoded

router = APIRouter(
    route_class=OneFileRoute, prefix="/documents", dependencies=[needs(KeyScope.DOCUMENTS)]
)

MAX_ID_CHARACTERS = 500
MAX_PAGE = 500

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
DocumentId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
PathId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        description="The document's id; its slashes may stand as they are.",
        examples=["it/pt-pma-capital"],
    ),
]


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
            "passages_with_vectors": entry.chunks - entry.pending_vectors,
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


@router.post(
    "",
    status_code=201,
    responses={
        200: {"description": "The document was there; `change` says whether it changed."},
        403: {"description": "The key may not give documents to that group or collection."},
        413: {"description": "The file is larger than MAX_UPLOAD_BYTES."},
        422: {"description": "The file cannot be indexed, or should not be; `detail` says why."},
    },
)
async def upload(
    request: Request,
    response: Response,
    knowledge_base: KnowledgeBaseDep,
    caller: CallerDep,
    file: Annotated[UploadFile, File(description="The file; its name's ending tells the format.")],
    collection: Annotated[Name | None, Form(description="Put it into this collection.")] = None,
    access: Annotated[
        str,
        Form(pattern=f"^{ACCESS_GROUP.pattern}$", description="The one group that may read it."),
    ] = PUBLIC,
    force: Annotated[bool, Form(description="Index, with a mark, what should not be.")] = False,
    effective_date: Annotated[
        date | None, Form(description="The date from which it holds.")
    ] = None,
    supersedes: Annotated[
        DocumentId | None, Form(description="The document that it replaces.")
    ] = None,
    root: Annotated[
        str | None,
        Form(min_length=1, max_length=1_000, description="What it was taken from; for operators."),
    ] = None,
) -> StoredOut:
    """Index a file: a text, page, PDF, office file, table or scan, by its name.

    The document's id is the name without its ending, after the collection's and a slash. What
    was there under that id is replaced at once, when the words of the new one are indexed: it is
    found by them when this is answered. Its vectors follow, as `vectors` says. What a key
    without the scope `admin` sends stands in the collection of its name, and neither replaces
    nor supersedes anything but its own.
    """
    own = own_name(caller)
    if own:
        check_sender(own, access, collection, root, caller)
        collection = own
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
        only_own=own is not None,
    )
    origin = origin_of(own) if own else root or UPLOADED
    with while_connected(request.receive):
        stored = await knowledge_base.add_upload(file.filename or "", content, options, origin)
    response.status_code = 201 if stored.change == "added" else 200
    response.headers["Location"] = f"/documents/{quote(stored.document_id)}"
    entry = await knowledge_base.catalogue.entry(stored.document_id, frozenset({access}))
    if entry is None:  # somebody deleted it a moment ago
        raise _none_such()
    return StoredOut(**dict(DocumentOut.of(entry, request)), change=stored.change)


@router.get("")
async def documents(
    request: Request,
    knowledge_base: KnowledgeBaseDep,
    groups: ManagedGroupsDep,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Documents a page.")] = 50,
    offset: Annotated[int, Query(ge=0, le=10**9, description="Documents to pass over.")] = 0,
    languages: Annotated[
        list[LanguageCode], Query(max_length=100, description="Only in these languages.")
    ] = [],  # noqa: B006 - copied
    collections: Annotated[
        list[Name], Query(max_length=100, description="Only of these collections.")
    ] = [],  # noqa: B006 - copied
    include_superseded: Annotated[
        bool, Query(description="Also those that a newer one replaces.")
    ] = True,
    root: Annotated[
        str | None,
        Query(
            max_length=1_000,
            description="Only what was taken from there or within it; for operators.",
        ),
    ] = None,
) -> DocumentListOut:
    """List documents by id."""
    if root is not None and not caller.may(KeyScope.ADMIN):
        raise HTTPException(403, "only a key with the scope admin may ask by root")
    filters = SearchFilters(
        languages=frozenset(languages),
        collections=frozenset(collections),
        include_superseded=include_superseded,
    )
    scope = Scope(filters, groups)
    entries, totals = await knowledge_base.catalogue.entries(scope, limit, offset, root)
    return DocumentListOut(
        documents=[DocumentOut.of(entry, request) for entry in entries],
        total=totals.documents,
        pending_vectors=totals.pending_vectors,
    )


@router.get("/{document_id:path}", responses={404: {"description": "No such document."}})
async def document(
    request: Request,
    document_id: PathId,
    knowledge_base: KnowledgeBaseDep,
    groups: ManagedGroupsDep,
    text: Annotated[bool, Query(description="Its text too.")] = False,
) -> DocumentDetailOut:
    """One document: what is known of it, its headings, and with `text=true` its text."""
    catalogue = knowledge_base.catalogue
    entry = await catalogue.entry(document_id, groups)
    if entry is None:
        raise _none_such()
    return DocumentDetailOut(
        **dict(DocumentOut.of(entry, request)),
        sections=[SectionOut.of(part) for part in await catalogue.parts(document_id)],
        text=await catalogue.text(document_id) if text else None,
    )


@router.delete(
    "/{document_id:path}",
    status_code=204,
    responses={
        403: {"description": "It was not sent with this key."},
        404: {"description": "No such document."},
    },
)
async def delete(
    document_id: PathId,
    knowledge_base: KnowledgeBaseDep,
    groups: ManagedGroupsDep,
    caller: CallerDep,
) -> None:
    """Forget a document. A bundled one is back at the next start.

    A key without the scope `admin` deletes what was sent with it.
    """
    entry = await knowledge_base.catalogue.entry(document_id, groups)
    if entry is None:
        raise _none_such()
    own = own_name(caller)
    if own and entry.root != origin_of(own):
        raise HTTPException(403, "this document was not sent with this key")
    if not await knowledge_base.delete(document_id):
        raise _none_such()


def _none_such() -> HTTPException:
    return HTTPException(404, "there is no such document")
