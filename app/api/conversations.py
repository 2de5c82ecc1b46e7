"""Conversations that the service keeps: `conversation_id` on `/chat`, export and deletion."""

import asyncio
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.access.keys import KeyScope
from app.api.callers import Caller, needs
from app.api.deps import CallerDep, ConversationsDep
from app.api.schemas import CONVERSATION_ID
from app.chat.conversations import Conversations
from app.chat.service import Turn
from app.events import Message

router = APIRouter(prefix="/conversations", dependencies=[needs(KeyScope.CHAT)])

Id = Annotated[str, Path(pattern=CONVERSATION_ID, description="As it was sent to `/chat`.")]


class KeptMessage(BaseModel):
    """One message of a conversation."""

    role: Literal["user", "assistant"] = Field(description="Who spoke.")
    content: str = Field(description="What was said.")
    at: float = Field(description="When, in seconds since 1970.")


class KeptConversation(BaseModel):
    """What the service keeps of a conversation."""

    id: str = Field(description="As it was sent to `/chat`.")
    messages: list[KeptMessage] = Field(description="The oldest first.")


class ConversationSession:
    """One caller's conversation, as a turn needs it."""

    def __init__(self, conversations: Conversations, caller: Caller, conversation: str) -> None:
        self._conversations = conversations
        self._of = (_owner(caller), conversation)
        self._in_use = conversations.begin(*self._of)

    async def before(self, turn: Turn) -> Turn:
        """Return the turn with the stored messages before it. Raises `StorageFailed`."""
        stored = await asyncio.to_thread(self._conversations.messages, *self._of)
        earlier = tuple(Message(message.role, message.content) for message in stored)
        return replace(turn, messages=(*earlier, *turn.messages))

    async def store(self, question: str, answer: str) -> None:
        """Store a turn. Raises `StorageFailed`."""
        await asyncio.to_thread(self._conversations.add, *self._of, question, answer, self._in_use)


@router.get("/{conversation_id}")
async def export_conversation(
    conversation_id: Id, caller: CallerDep, conversations: ConversationsDep
) -> KeptConversation:
    """What is kept of a conversation of yours."""
    stored = await asyncio.to_thread(conversations.messages, _owner(caller), conversation_id)
    if not stored:
        raise HTTPException(404, _UNKNOWN)
    messages = [KeptMessage(role=m.role, content=m.content, at=m.at) for m in stored]
    return KeptConversation(id=conversation_id, messages=messages)


@router.delete("/{conversation_id}", status_code=204)
async def delete_conversation(
    conversation_id: Id, caller: CallerDep, conversations: ConversationsDep
) -> None:
    """Forget a conversation of yours; a turn of it that is under way is not kept either."""
    if not await asyncio.to_thread(conversations.delete, _owner(caller), conversation_id):
        raise HTTPException(404, _UNKNOWN)


_UNKNOWN = "no conversation of yours is kept under this id; it may be older than 30 days"


def _owner(caller: Caller) -> str:
    # No key has an empty name.
    return caller.key.name if caller.key else ""
