"""A turn's events as OpenAI's chat completions, complete or in chunks.

What OpenAI has no field for (the model and the reason, the sources, the cost) is in an
object of its own, `zantara`: in the completion, in the last chunk with a choice, or in
the error of a stream that broke off.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from app.events import Event, Failed, Finished, Retrieved, RouteChosen, TextDelta, ToolCall, ToolRan
from app.wire.answer import AnswerFold
from app.wire.sse import data_frame

DONE = b"data: [DONE]\n\n"
_EXTENSION = (
    "ai_used", "model", "provider", "fallback_reason", "degraded", "sources", "cost_usd",
    "saved_usd", "request_id",
)  # fmt: skip


def completion(fold: AnswerFold, *, request_id: str, created: int) -> dict[str, Any]:
    """A `chat.completion`; `created` is in seconds since 1970."""
    facts, text = fold.facts(request_id=request_id, latency_ms=0), "".join(fold.text)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if fold.tool_calls:
        message["content"] = text or None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": _function(call)}
            for call in fold.tool_calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": facts["finish_reason"]}
    return {
        "id": _id(request_id),
        "object": "chat.completion",
        "created": created,
        "model": facts["model"],
        "choices": [{**choice, "logprobs": None}],
        "usage": _usage(facts),
        "zantara": _extension(facts),
    }


def chunks(
    *, request_id: str, created: int, model: str, include_usage: bool
) -> Callable[[Event], bytes]:
    """What makes `chat.completion.chunk` events and `[DONE]` of a turn's events.

    An answer that broke off ends in an error. `model` is the one that was asked for: which one
    answers is known in the end.
    """
    head = {
        "id": _id(request_id),
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
    }
    return _Chunks(head, request_id, include_usage=include_usage).encode


class _Chunks:
    """Encodes the events of one turn."""

    def __init__(self, head: dict[str, Any], request_id: str, *, include_usage: bool) -> None:
        self._head = head
        self._request_id = request_id
        self._include_usage = include_usage
        self._fold = AnswerFold()

    def encode(self, event: Event) -> bytes:
        """Return the frames of the event; none for one that OpenAI's format does not show."""
        self._fold.take(event)
        match event:
            case TextDelta():
                return self._chunk({"content": event.text})
            case RouteChosen() if not self._fold.text:
                return self._chunk({"role": "assistant", "content": ""})
            case ToolCall():
                index = len(self._fold.tool_calls) - 1
                start = self._chunk({"tool_calls": [_start(index, event)]})
                return start + self._chunk({"tool_calls": [_arguments(index, event)]})
            case Finished():
                return self._end()
            case Failed():
                return data_frame(_broken_off(event, self._request_id))
            case Retrieved() | RouteChosen() | ToolRan():
                return b""

    def _chunk(
        self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return data_frame({**self._head, "choices": [choice], **extra})

    def _end(self) -> bytes:
        facts = self._fold.facts(request_id=self._request_id, latency_ms=0)
        frames = [self._chunk({}, facts["finish_reason"], zantara=_extension(facts))]
        if self._include_usage:
            frames.append(data_frame({**self._head, "choices": [], "usage": _usage(facts)}))
        return b"".join([*frames, DONE])


def error(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error envelope."""
    of_the_caller = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = "server_error" if status >= 500 else of_the_caller.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _broken_off(event: Failed, request_id: str) -> dict[str, Any]:
    """Return the error with the emitted text inside, where OpenAI's own clients pass it on."""
    envelope = error(502, event.message, code=event.kind)
    envelope["error"]["zantara"] = {
        "answer_so_far": event.partial_text,
        "resume": event.resume,
        "request_id": request_id,
    }
    return envelope


def _id(request_id: str) -> str:
    return f"chatcmpl-{request_id}"


def _function(call: ToolCall) -> dict[str, str]:
    return {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()}


def _start(index: int, call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": ""}
    return {"index": index, "id": call.id, "type": "function", "function": function}


def _arguments(index: int, call: ToolCall) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": _function(call)["arguments"]}}


def _usage(facts: dict[str, Any]) -> dict[str, int]:
    read, written = facts["usage"]["input_tokens"], facts["usage"]["output_tokens"]
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _extension(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in _EXTENSION}
