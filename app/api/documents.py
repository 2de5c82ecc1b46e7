"""`/documents`: upload, list, look at and delete what the knowledge base holds."""

from datetime import date
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Path, Query, Request, Response, UploadFile
from pydantic import Field
from starlette.exceptions import HTTPException

from app.access.keys import KeyScope
from app.api.callers import needs
from app.api.deps import CallerDep, KnowledgeBaseDep, ManagedGroupsDep
from app.api.document_schemas import (
    DocumentDetailOut,
    DocumentListOut,
    DocumentOut,
    SectionOut,
    StoredOut,
)
from app.api.forms import OneFileRoute
from app.api.schemas import LanguageCode
from app.api.senders import check_sender, origin_of, own_name
from app.api.streaming import while_connected
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.options import NAME_PATTERN, IngestOptions
from app.retrieval.records import ACCESS_GROUP, PUBLIC
from app.retrieval.sources import UPLOADED

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
