"""The long-lived objects, as handlers ask for them.

Coroutines, though they wait for nothing: FastAPI sends every other dependency to a thread.
"""

from pathlib import Path
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from app.access.keyring import Keyring
from app.access.keys import KeyScope
from app.access.rates import Rates
from app.access.under_way import UnderWay
from app.api.admission import Admission
from app.api.callers import Caller
from app.api.giving_way import GivingWay
from app.chat.conversations import Conversations
from app.chat.service import ChatService
from app.llm.llama_scout_client import LlamaScoutClient
from app.media.decoder import Decoder
from app.net import Networks
from app.ops.recent_calls import RecentCalls
from app.retrieval.knowledge_base import KnowledgeBase


class Resources(TypedDict):
    """What the lifespan builds once and hands to every request."""

    chat: ChatService
    conversations: Conversations
    client: LlamaScoutClient
    knowledge_base: KnowledgeBase
    admission: Admission
    giving_way: GivingWay
    keyring: Keyring
    allow_no_keys: bool
    cors_origins: tuple[str, ...]
    rates: Rates
    under_way: UnderWay
    trusted_proxies: Networks
    file_hosts: tuple[str, ...]
    decoder: Decoder
    max_upload_bytes: int
    data_dir: Path
    recent_calls: RecentCalls
    started: float
    """`time.monotonic()` at the start, in seconds."""


async def _admission(request: Request) -> Admission:
    admission: Admission = request.state.admission
    return admission


async def _chat(request: Request) -> ChatService:
    chat: ChatService = request.state.chat
    return chat


async def _conversations(request: Request) -> Conversations:
    conversations: Conversations = request.state.conversations
    return conversations


async def _client(request: Request) -> LlamaScoutClient:
    client: LlamaScoutClient = request.state.client
    return client


async def _knowledge_base(request: Request) -> KnowledgeBase:
    knowledge_base: KnowledgeBase = request.state.knowledge_base
    return knowledge_base


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _caller_or_none(request: Request) -> Caller | None:
    caller: Caller | None = request.state.caller
    return caller


async def _groups(request: Request) -> frozenset[str]:
    return (await _caller(request)).groups


async def _managed_groups(request: Request) -> frozenset[str]:
    # All documents are an operator's to look after.
    if not (await _caller(request)).may(KeyScope.ADMIN):
        return await _groups(request)
    return await (await _knowledge_base(request)).catalogue.groups()


AdmissionDep = Annotated[Admission, Depends(_admission)]
CallerDep = Annotated[Caller, Depends(_caller)]
"""Who calls, on routes that nobody reaches without a key."""
CallerOrNoneDep = Annotated[Caller | None, Depends(_caller_or_none)]
ChatServiceDep = Annotated[ChatService, Depends(_chat)]
ClientDep = Annotated[LlamaScoutClient, Depends(_client)]
ConversationsDep = Annotated[Conversations, Depends(_conversations)]
KnowledgeBaseDep = Annotated[KnowledgeBase, Depends(_knowledge_base)]
GroupsDep = Annotated[frozenset[str], Depends(_groups)]
"""The access groups of the caller."""
ManagedGroupsDep = Annotated[frozenset[str], Depends(_managed_groups)]
"""The access groups whose documents the caller may list, read whole and delete."""
