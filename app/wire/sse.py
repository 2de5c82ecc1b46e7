"""A turn's events as named server-sent events."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from app.events import Event, Failed, Finished, Retrieved, RouteChosen, TextDelta, ToolRan
from app.wire.answer import AnswerFold

KEEP_ALIVE = b": keep-alive\n\n"


# The standard ends lines at CR and LF alone, but many clients split at these too
# (Python's `splitlines`, and with it httpx's `aiter_lines`).
_OTHER_LINE_ENDS = {
    character.encode(): b"\\u%04x" % ord(character) for character in "\u0085\u2028\u2029"
}


def frame(event: str, data: Any) -> bytes:
    """One server-sent event; nothing in `data` can end its line."""
    return b"event: %b\n%b" % (event.encode(), data_frame(data))


def data_frame(data: Any) -> bytes:
    """An event without a name."""
    payload = msgspec.json.encode(data)
    if not payload.isascii():
        for character, escape in _OTHER_LINE_ENDS.items():
            payload = payload.replace(character, escape)
    return b"data: %b\n\n" % payload


async def frames(
    events: AsyncGenerator[Event], *, request_id: str, started: float
) -> AsyncGenerator[bytes]:
    """`sources`, `route`, `delta`…, then one `done` or one `error`.

    Between them a `tool` for each of the service's own that the model used, and after one
    that found more the `sources` again, all of them.

    `started` is when the request came, in `time.perf_counter()` seconds.
    """
    fold = AnswerFold()
    async with aclosing(events):
        async for event in events:
            fold.take(event)
            match event:
                case TextDelta():
                    yield frame("delta", {"text": event.text})
                case Retrieved():
                    yield frame("sources", [s.model_dump() for s in fold.sources])
                case ToolRan():
                    yield frame("tool", fold.tools[-1].model_dump())
                    if event.passages:
                        yield frame("sources", [s.model_dump() for s in fold.sources])
                case RouteChosen():
                    yield frame("route", event)
                case Finished():
                    latency_ms = (time.perf_counter() - started) * 1000
                    answer = fold.answer(request_id=request_id, latency_ms=latency_ms)
                    yield frame("done", answer.model_dump(exclude={"answer"}))
                case Failed():
                    yield frame(
                        "error",
                        {
                            "kind": event.kind,
                            "message": event.message,
                            "answer_so_far": event.partial_text,
                            "resume": "continue_from" if event.resumable else None,
                            "request_id": request_id,
                        },
                    )
