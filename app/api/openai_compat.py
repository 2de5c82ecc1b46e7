"""`/v1`: OpenAI's chat completions, for the clients that speak them already."""

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal, Self

from asgi_correlation_id import correlation_id
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field, model_validator

from app.api.deps import ChatServiceDep, ClientDep
from app.api.schemas import MAX_MESSAGES, Text, clamp_tokens
from app.api.streaming import EventStream, resumed, while_connected
from app.api.turns import folded, up_to_content
from app.chat.service import ChatService, Turn
from app.events import Event, Message
from app.llm.llama_scout_client import DEFAULT_MAX_TOKENS, LlamaScoutClient
from app.wire.openai import chunks, completion
from app.wire.sse import KEEP_ALIVE

router = APIRouter(prefix="/v1")

ZANTARA = "zantara"
MODELS = (ZANTARA, "llama-scout", "haiku")
"""The knowledge base with its models, and either model alone, without passages."""

# Fixed: a model of this list is as old as the service's first release.
_CREATED = 1_795_392_000


class TextPart(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class MessageIn(BaseModel):
    """One message; an application's instructions come as `system` or `developer`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(min_length=1, max_length=20)]

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """What a stream tells beside the answer."""

    include_usage: bool = False


class PlainText(BaseModel):
    """The one form of answer there is."""

    type: Literal["text"]


def _nothing(value: object) -> object:
    if value not in (None, [], {}, "", "none", "auto"):
        raise ValueError("is not supported by this service; leave it out")
    return value


Unsupported = Annotated[Any, AfterValidator(_nothing)]


class CompletionIn(BaseModel):
    """OpenAI's request. Fields that are not named here make no difference to the answer."""

    model: Literal["zantara", "llama-scout", "haiku"]
    messages: list[MessageIn] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1), AfterValidator(clamp_tokens)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1), AfterValidator(clamp_tokens)] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    n: Literal[1] | None = None
    tools: Unsupported = None
    tool_choice: Unsupported = None
    functions: Unsupported = None
    stop: Unsupported = None
    response_format: PlainText | None = None

    def conversation(self) -> tuple[Message, ...]:
        """What user and assistant said."""
        return tuple(
            Message(message.role, message.text)
            for message in self.messages
            if message.role in ("user", "assistant")
        )

    def instructions(self) -> str | None:
        """What the application tells the model."""
        told = [m.text for m in self.messages if m.role in ("system", "developer")]
        return "\n\n".join(told) or None

    @property
    def most_tokens(self) -> int:
        """The bound of the answer."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError("the last of messages must be the user's question")
        return self


@router.get("/models")
async def models() -> dict[str, Any]:
    """The models that may be asked for."""
    listed = [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "zantara"}
        for name in MODELS
    ]
    return {"object": "list", "data": listed}


@router.post("/chat/completions", response_model=None)
async def chat_completions(
    body: CompletionIn, request: Request, service: ChatServiceDep, client: ClientDep
) -> Response:
    """Answer in OpenAI's form: `zantara` from the knowledge base, the others as they are."""
    request_id, created = correlation_id.get() or "", int(time.time())
    events = _events(body, service, client)
    if not body.stream:
        fold = await while_connected(request, folded(events))
        answer = fold.answer(request_id=request_id, latency_ms=0)
        return JSONResponse(completion(answer, created), headers={"Cache-Control": "no-store"})
    taken = await while_connected(request, up_to_content(events))
    sse = chunks(
        resumed(taken, events),
        request_id=request_id,
        created=created,
        model=body.model,
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
    )
    return EventStream(sse, KEEP_ALIVE)


def _events(
    body: CompletionIn, service: ChatService, client: LlamaScoutClient
) -> AsyncGenerator[Event]:
    whole = not body.stream
    if body.model == ZANTARA:
        turn = Turn(
            body.conversation(),
            max_tokens=body.most_tokens,
            temperature=body.temperature,
            instructions=body.instructions(),
        )
        return service.stream(turn, whole=whole)
    return client.stream(
        body.conversation(),
        "haiku" if body.model == "haiku" else "llama-scout",
        body.most_tokens,
        body.temperature,
        body.instructions(),
        whole=whole,
    )
