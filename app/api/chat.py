"""`POST /chat`: one turn, whole or streamed."""

import time
from dataclasses import replace
from functools import partial
from typing import Annotated

from asgi_correlation_id import correlation_id
from fastapi import APIRouter, Body, Request, Response

from app.access.keys import KeyScope
from app.api.callers import needs
from app.api.chat_form import FormOrJsonRoute
from app.api.conversations import ConversationSession
from app.api.deps import CallerDep, ChatServiceDep, ConversationsDep
from app.api.examples import CHAT
from app.api.files import pictures_in
from app.api.schemas import ChatIn
from app.api.streaming import EventStream, while_connected
from app.wire.answer import Answer, AnswerFold
from app.wire.sse import named_events

router = APIRouter(route_class=FormOrJsonRoute, dependencies=[needs(KeyScope.CHAT)])

_STREAM_DESCRIPTION = (
    "With `stream: true`, server-sent events: `sources`, `route`, `delta`…, `tool` for each of the "
    "service's own tools that was used (and `sources` again when it found more), then one `done` "
    "(the answer object less its text) or one `error` (with `answer_so_far`, and in `resume` the "
    "field to send it back in, with the same question, for the rest)."
)


@router.post(
    "/chat",
    response_model=Answer,
    responses={
        200: {"description": _STREAM_DESCRIPTION, "content": {"text/event-stream": {}}},
        503: {"description": "No model could answer, and nothing was found to quote."},
    },
)
async def chat(
    body: Annotated[ChatIn, Body(openapi_examples=CHAT)],
    request: Request,
    service: ChatServiceDep,
    caller: CallerDep,
    conversations: ConversationsDep,
) -> Response:
    """Answer from the knowledge base, Llama 4 Scout first, Claude Haiku 4.5 when it can't.

    A form takes the place of JSON where files are uploaded as they are.
    """
    started = time.perf_counter()
    request_id = correlation_id.get() or ""
    pictures = await pictures_in(body.all_files, request)
    turn = replace(body.turn(pictures), groups=caller.groups)
    session = body.conversation_id and ConversationSession(
        conversations, caller, body.conversation_id
    )
    turn = await session.before(turn) if session else turn

    before_end = partial(session.store, turn.messages[-1].content) if session else None
    if body.stream:
        encode = named_events(request_id=request_id, started=started)
        return EventStream(service.stream(turn, before_end=before_end), encode)
    with while_connected(request.receive):
        fold = await AnswerFold.of(service.stream(turn, buffered=True, before_end=before_end))
    latency_ms = (time.perf_counter() - started) * 1000
    answer = fold.answer(request_id=request_id, latency_ms=latency_ms)
    return Response(
        answer.model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
