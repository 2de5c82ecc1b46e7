"""`POST /search`: the passages that `/chat` would be given, with their scores."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Body as RequestBody
from pydantic import AfterValidator, BaseModel, Field

from app.access.keys import KeyScope
from app.api.callers import needs
from app.api.deps import GroupsDep, KnowledgeBaseDep
from app.api.examples import SEARCH
from app.api.schemas import Body, FiltersIn, LanguageCode, says_something
from app.api.streaming import while_connected
from app.api.strict_json import StrictJsonRoute
from app.chat.service import DEFAULT_TOP_K
from app.events import ChunkKind, Jurisdiction, Passage
from app.retrieval.knowledge_base import MAX_QUESTION_CHARACTERS, MAX_TOP_K

router = APIRouter(route_class=StrictJsonRoute, dependencies=[needs(KeyScope.CHAT)])

Query = Annotated[str, Field(max_length=MAX_QUESTION_CHARACTERS), AfterValidator(says_something)]


class SearchIn(Body):
    """What to look for."""

    query: Query = Field(description="What to look for, as a question or as words.")
    translations: dict[LanguageCode, Query] = Field(
        default={}, max_length=20, description="The same question in other languages: finds more."
    )
    top_k: int = Field(
        default=DEFAULT_TOP_K, ge=1, le=MAX_TOP_K, description="Passages at the most."
    )
    filters: FiltersIn = Field(default=FiltersIn(), description="Narrows what is searched.")


class ScoresOut(BaseModel):
    """Comparable within one answer only; higher is better."""

    fused: float = Field(description="What the passages are ordered by.")
    dense: float = Field(description="The part of it found by meaning; 0: not found so.")
    lexical: float = Field(description="The part of it found by words; 0: not found so.")


class PassageOut(BaseModel):
    """A passage, and where it stands: `text` is the document's text from `start` to `end`."""

    document_id: str = Field(description="The document's id.")
    title: str = Field(description="The document's title.")
    section: str = Field(description="Title and headings above the passage.")
    page: int | None = Field(description="The page on which it begins, where there are pages.")
    last_page: int | None = Field(description="The page on which it ends.")
    start: int = Field(
        description="Where the passage begins in the document's text, in characters."
    )
    end: int = Field(description="Where it ends.")
    text: str = Field(description="The passage.")
    language: str = Field(description="The document's language.")
    effective_date: str | None = Field(description="ISO date from which the document holds.")
    uri: str | None = Field(description="Where the document was taken from, if it says so.")
    kind: ChunkKind = Field(description="`explanation`: of a statute, its official explanation.")
    jurisdiction: Jurisdiction | None = Field(
        description="How far a regulation reaches; null for what is none."
    )
    scores: ScoresOut = Field(description="Why it stands where it does.")


class SearchOut(BaseModel):
    """Passages, best first."""

    passages: list[PassageOut] = Field(description="The passages.")
    language: str | None = Field(description="The question's; null when it is too short to tell.")
    small_talk: bool = Field(description="No question was asked, so nothing was looked up.")
    degraded: bool = Field(description="Searched by words alone: the other half failed.")


@router.post("/search")
async def search(
    request: Request,
    body: Annotated[SearchIn, RequestBody(openapi_examples=SEARCH)],
    knowledge_base: KnowledgeBaseDep,
    groups: GroupsDep,
) -> SearchOut:
    """Find passages by meaning and by words at once, in all languages."""
    translations = {str(code): text for code, text in body.translations.items()}
    with while_connected(request.receive):
        found = await knowledge_base.search(
            body.query, body.top_k, body.filters.as_filters(), translations, groups=groups
        )
    return SearchOut(
        passages=[_passage(passage) for passage in found.passages],
        language=found.language,
        small_talk=found.small_talk,
        degraded=found.degraded,
    )


def _passage(passage: Passage) -> PassageOut:
    return PassageOut(
        document_id=passage.document_id,
        title=passage.title,
        section=passage.section,
        page=passage.page,
        last_page=passage.last_page,
        start=passage.start,
        end=passage.end,
        text=passage.text,
        language=passage.language,
        effective_date=passage.effective_date,
        uri=passage.uri,
        kind=passage.kind,
        jurisdiction=passage.jurisdiction,
        scores=ScoresOut(
            fused=passage.score, dense=passage.dense_score, lexical=passage.lexical_score
        ),
    )
