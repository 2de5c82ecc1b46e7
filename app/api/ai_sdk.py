"""`POST /api/chat`: what the Vercel AI SDK's `useChat` posts, answered as its message stream."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from asgi_correlation_id import correlation_id
from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.access.keys import KeyScope
from app.api.callers import needs
from app.api.deps import ChatServiceDep, GroupsDep
from app.api.examples import UI_CHAT
from app.api.files import FileAddress, pictures_in, require_few
from app.api.schemas import FILES, MAX_CHARS, MAX_MESSAGES, TurnOptions, says_something
from app.api.streaming import EventStream
from app.api.strict_json import StrictJsonRoute
from app.chat.service import Turn
from app.events import Message
from app.media.decoder import Pictures, shown
from app.wire.ui_messages import HEADERS, ui_chunks

router = APIRouter(route_class=StrictJsonRoute, prefix="/api", dependencies=[needs(KeyScope.CHAT)])

MAX_PARTS = 1_000
"""Of one message: an answer with fifty sources and ten tools has some seventy."""


class UIPart(BaseModel):
    """A part of a message: what the service itself put beside text and files is left out."""

    type: str = Field(
        max_length=200, description="`text` and `file` are read; all others are passed over."
    )
    text: str = Field(
        max_length=MAX_CHARS, default="", description="Of a `text` part: what was said."
    )

    url: FileAddress | None = Field(default=None, description=f"Of a `file` part. {FILES}")

    @model_validator(mode="before")
    @classmethod
    def _url_of_files_alone(cls, part: Any) -> Any:
        # Other parts, such as a source's, have an address of their own.
        if isinstance(part, dict) and part.get("type") != "file":
            return {name: value for name, value in part.items() if name != "url"}
        return part

    @model_validator(mode="after")
    def _a_file_is_there(self) -> Self:
        if self.type == "file" and self.url is None:
            raise ValueError("a file part needs url")
        return self


class UIMessage(BaseModel):
    """One message, as `useChat` keeps it."""

    role: Literal["user", "assistant"] = Field(
        description="Who speaks. System turns are the service's own and are refused."
    )
    parts: list[UIPart] = Field(
        fail_fast=True, max_length=MAX_PARTS, description="What the message is made of."
    )

    @property
    def text(self) -> str:
        """What was said."""
        texts = [part.text for part in self.parts if part.type == "text" and part.text.strip()]
        return "\n\n".join(texts)

    @property
    def files(self) -> list[str]:
        """The files of what the user shows."""
        return [part.url for part in self.parts if part.url and self.role == "user"]


class UIChatIn(TurnOptions):
    """What `DefaultChatTransport` posts; the options come from its `body`."""

    model_config = ConfigDict(extra="ignore")

    messages: list[UIMessage] = Field(
        fail_fast=True,
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The last is the question.",
    )
    id: str | None = Field(default=None, description="The chat's; nothing is kept under it.")
    trigger: Literal["submit-message", "regenerate-message"] | None = Field(
        default=None, description="Both are answered the same: the question is the last message."
    )

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError("the last of messages must be the user's question")
        says_something(self.messages[-1].text)
        require_few(self.all_files)
        return self

    @property
    def all_files(self) -> list[str]:
        """The files of the request."""
        return [file for message in self.messages for file in message.files]

    def turn(self, pictures: Pictures) -> Turn:
        """The turn that this asks for; an answer that was stopped before its first word is none."""
        said = (
            Message(m.role, m.text, pictures=shown(m.files, pictures))
            for m in self.messages
            if m.text
        )
        return self.turn_of(tuple(said))


@router.post("/chat", response_model=None)
async def ui_chat(
    body: Annotated[UIChatIn, Body(openapi_examples=UI_CHAT)],
    request: Request,
    service: ChatServiceDep,
    groups: GroupsDep,
) -> Response:
    """Answer `useChat` of the Vercel AI SDK, in its UI message stream."""
    request_id = correlation_id.get() or ""
    pictures = await pictures_in(body.all_files, request)
    events = service.stream(replace(body.turn(pictures), groups=groups))
    return EventStream(events, ui_chunks(request_id=request_id), HEADERS)
