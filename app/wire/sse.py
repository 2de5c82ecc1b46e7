"""A turn's events as named server-sent events."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from app.events import Event, Failed, Finished, Retrieved, RouteChosen, TextDelta, ToolCall, ToolRan
from app.wire.answer import AnswerFold

KEEP_ALIVE = b": keep-alive\n\n"


# The standard ends lines at CR and LF alone, but many clients split at these too
# (Python's `splitlines`, and with it httpx's `aiter_lines`).
_OTHER_LINE_ENDS = {
    character.encode(): b"\\u%04x" % ord(character) for character in "\u0085\u2028\u2029"
}
_encoder = msgspec.json.Encoder()


def frame(event: str, data: Any) -> bytes:
    """One server-sent event; nothing in `data` can end its line."""
    return b"event: %b\n%b" % (event.encode(), data_frame(data))


def data_frame(data: Any) -> bytes:
    """An event without a name."""
    payload = _encoder.encode(data)
    if not payload.isascii():
        for character, escape in _OTHER_LINE_ENDS.items():
            payload = payload.replace(character, escape)
    return b"data: %b\n\n" % payload


def named_events(*, request_id: str, started: float) -> Callable[[Event], bytes]:
    """What makes `sources`, `route`, `delta`…, then one `done` or one `error`, of a turn's events.

    Between them a `tool` for each of the service's own that the model used, and after one
    that found more the `sources` again, all of them.

    `started` is when the request came, in `time.perf_counter()` seconds.
    """
    fold = AnswerFold()

    def sources() -> bytes:
        return frame("sources", [s.model_dump() for s in fold.sources])

    def encode(event: Event) -> bytes:
        fold.take(event)
        match event:
            case TextDelta():
                return frame("delta", {"text": event.text})
            case Retrieved():
                return sources()
            case ToolRan():
                used = frame("tool", fold.tools[-1].model_dump())
                return used + sources() if event.passages else used
            case RouteChosen():
                return frame("route", event)
            case Finished():
                latency_ms = (time.perf_counter() - started) * 1000
                return frame("done", fold.facts(request_id=request_id, latency_ms=latency_ms))
            case Failed():
                return frame("error", _failure(event, request_id))
            case ToolCall():
                return b""  # tools of the caller's are not offered here

    return encode


def _failure(event: Failed, request_id: str) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "message": event.message,
        "answer_so_far": event.partial_text,
        "resume": event.resume,
        "request_id": request_id,
    }
