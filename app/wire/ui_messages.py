"""A turn's events as the Vercel AI SDK's UI message stream, version 1.

Chunks as its `uiMessageChunkSchema` has them. Who answered and why, the cost and the times stand
in the message's metadata, a source's passage in its `providerMetadata.zantara`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from app.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Retrieved,
    RouteChosen,
    TextDelta,
    ToolRan,
)
from app.wire.answer import AnswerFold, Source, ToolUse
from app.wire.openai import DONE
from app.wire.sse import data_frame

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}

_FINISH_REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool-calls",
}
_BESIDE = {"sources", "tools", "finish_reason", "latency_ms"}
"""What is in parts of the message, or not of it, and so not in its metadata."""


def ui_chunks(*, request_id: str) -> Callable[[Event], bytes]:
    """What makes `start`, the parts, then `finish` or `error`, and `[DONE]`, of a turn's events."""
    fold = AnswerFold()
    text = _TextParts()
    begin: list[dict[str, Any]] = [{"type": "start", "messageId": f"msg-{request_id}"}]

    def encode(event: Event) -> bytes:
        known = len(fold.sources)
        fold.take(event)
        made = [*begin, *_chunks(event, fold, known, text, request_id)]
        begin.clear()
        frames = [data_frame(chunk) for chunk in made]
        return b"".join([*frames, DONE] if isinstance(event, Finished | Failed) else frames)

    return encode


class _TextParts:
    """The parts of text, each with a start and an end; other parts come between them."""

    def __init__(self) -> None:
        self._count = 0
        self._open = False

    def more(self, delta: str) -> Iterator[dict[str, Any]]:
        if not self._open:
            self._count += 1
            self._open = True
            yield {"type": "text-start", "id": self._id}
        yield {"type": "text-delta", "id": self._id, "delta": delta}

    def end(self) -> Iterator[dict[str, Any]]:
        if self._open:
            self._open = False
            yield {"type": "text-end", "id": self._id}

    @property
    def _id(self) -> str:
        return f"text-{self._count}"


def _chunks(
    event: Event, fold: AnswerFold, known: int, text: _TextParts, request_id: str
) -> Iterator[dict[str, Any]]:
    match event:
        case Retrieved():
            yield from map(_source, fold.sources)
        case RouteChosen():
            route = {"ai_used": event.ai_used, "fallback_reason": event.fallback_reason}
            yield {"type": "message-metadata", "messageMetadata": route}
        case TextDelta():
            yield from text.more(event.text)
        case ToolRan():
            yield from text.end()
            yield from _tool(fold.tools[-1])
            yield from map(_source, fold.sources[known:])
        case Finished():
            yield from text.end()
            facts = fold.facts(request_id=request_id, latency_ms=0)
            yield {
                "type": "finish",
                "finishReason": _FINISH_REASONS[event.finish_reason],
                "messageMetadata": {
                    name: fact for name, fact in facts.items() if name not in _BESIDE
                },
            }
        case Failed():
            yield from text.end()
            yield {"type": "error", "errorText": f"{event.kind}: {event.message}"}


def _source(source: Source) -> dict[str, Any]:
    return {
        "type": "source-document",
        "sourceId": str(source.n),
        "mediaType": "text/plain",
        "title": source.section or source.title,
        "filename": source.document_id,
        "providerMetadata": {"zantara": source.model_dump()},
    }


def _tool(used: ToolUse) -> Iterator[dict[str, Any]]:
    call = {"toolCallId": used.id, "providerExecuted": True}
    yield {
        "type": "tool-input-available",
        **call,
        "toolName": used.name,
        "input": used.arguments,
    }
    if used.ok:
        output = {"result": used.result, "duration_ms": used.duration_ms}
        yield {"type": "tool-output-available", **call, "output": output}
    else:
        yield {"type": "tool-output-error", **call, "errorText": used.result}
