"""The long-lived objects, as handlers ask for them."""

from pathlib import Path
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from app.api.admission import Admission
from app.api.operators import is_operator
from app.chat.service import ChatService
from app.llm.llama_scout_client import LlamaScoutClient
from app.ops.recent_calls import RecentCalls
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.records import PUBLIC


class Resources(TypedDict):
    """What the lifespan builds once and hands to every request."""

    chat: ChatService
    client: LlamaScoutClient
    knowledge_base: KnowledgeBase
    admission: Admission
    max_upload_bytes: int
    data_dir: Path
    recent_calls: RecentCalls
    started: float
    """`time.monotonic()` at the start, in seconds."""


def _admission(request: Request) -> Admission:
    admission: Admission = request.state.admission
    return admission


def _chat(request: Request) -> ChatService:
    chat: ChatService = request.state.chat
    return chat


def _client(request: Request) -> LlamaScoutClient:
    client: LlamaScoutClient = request.state.client
    return client


def _knowledge_base(request: Request) -> KnowledgeBase:
    knowledge_base: KnowledgeBase = request.state.knowledge_base
    return knowledge_base


def _groups() -> frozenset[str]:
    # Nobody is told from anybody else yet: every caller reads what everyone may read.
    return frozenset({PUBLIC})


async def _managed_groups(request: Request) -> frozenset[str]:
    # Who sits at the machine can read its files: all documents are theirs to look after.
    if not is_operator(request):
        return _groups()
    return await _knowledge_base(request).catalogue.groups()


AdmissionDep = Annotated[Admission, Depends(_admission)]
ChatServiceDep = Annotated[ChatService, Depends(_chat)]
ClientDep = Annotated[LlamaScoutClient, Depends(_client)]
KnowledgeBaseDep = Annotated[KnowledgeBase, Depends(_knowledge_base)]
GroupsDep = Annotated[frozenset[str], Depends(_groups)]
"""The access groups of the caller."""
ManagedGroupsDep = Annotated[frozenset[str], Depends(_managed_groups)]
"""The access groups whose documents the caller may list, read whole and delete."""
