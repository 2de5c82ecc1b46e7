"""`/v1`: OpenAI's chat completions, for the clients that speak them already."""

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from asgi_correlation_id import correlation_id
from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import JSONResponse

from app.access.keys import KeyScope
from app.api.callers import needs
from app.api.deps import ChatServiceDep, GroupsDep
from app.api.examples import COMPLETIONS
from app.api.files import pictures_in
from app.api.openai_request import CompletionIn
from app.api.streaming import EventStream, while_connected
from app.api.strict_json import StrictJsonRoute
from app.chat.links import without_external_links
from app.chat.service import ChatService, Turn
from app.events import Event, Message
from app.llm.turn import CallOptions
from app.wire.answer import AnswerFold
from app.wire.openai import chunks, completion

router = APIRouter(route_class=StrictJsonRoute, prefix="/v1", dependencies=[needs(KeyScope.CHAT)])

ZANTARA = "zantara"
MODELS = (ZANTARA, "llama-scout", "haiku")
"""The knowledge base with its models, and either model alone, without passages."""

# Fixed: a model of this list is as old as the service's first release.
_CREATED = 1_795_392_000


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
    body: Annotated[CompletionIn, Body(openapi_examples=COMPLETIONS)],
    request: Request,
    service: ChatServiceDep,
    groups: GroupsDep,
) -> Response:
    """Answer in OpenAI's form: `zantara` from the knowledge base, the others as they are."""
    request_id, created = correlation_id.get() or "", int(time.time())
    pictures = await pictures_in(body.all_files, request)
    events = _events(body, body.conversation(pictures), groups, service)
    if body.stream:
        encode = chunks(
            request_id=request_id,
            created=created,
            model=body.model,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )
        return EventStream(events, encode)
    with while_connected(request.receive):
        fold = await AnswerFold.of(events)
    answer = completion(fold, request_id=request_id, created=created)
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _events(
    body: CompletionIn,
    conversation: tuple[Message, ...],
    groups: frozenset[str],
    service: ChatService,
) -> AsyncGenerator[Event]:
    buffered, prefix = not body.stream, body.continue_from or ""
    if body.model == ZANTARA:
        turn = Turn(
            conversation,
            max_tokens=body.most_tokens,
            temperature=body.temperature,
            instructions=body.instructions(),
            toolbox=body.toolbox(),
            groups=groups,
            continue_from=prefix,
        )
        return service.stream(turn, buffered=buffered)
    events = service.client.stream(
        conversation,
        CallOptions(
            "haiku" if body.model == "haiku" else "llama-scout",
            body.most_tokens,
            body.temperature,
            body.toolbox(),
            buffered,
            prefix,
        ),
        body.instructions(),
    )
    return without_external_links(events, prefix)
