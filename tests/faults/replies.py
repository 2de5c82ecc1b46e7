"""A turn as its caller sees it, and the lines that the guide promises for it."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from app.errors import FailureKind
from tests.faults.matrix import LOUD
from tests.service import SentEvent, sent_events, text_of

QUESTION = "Quanto capitale serve per una PT PMA?"
HAIKU_SAYS = ("Due miliardi e mezzo ", "di rupie [2].")
GOES_ON = (" miliardi, ", "dice Haiku [3].")
MARGIN_S = 20.0
"""Of a busy machine. Far below the limits that are not to pass, so that it shows which one held."""

LLAMA_STARTS = "🎯 [Llama Scout] Using PRIMARY AI"
LLAMA_SUCCEEDS = "✅ [Llama Scout] Success!"
FALLS_BACK = "   Falling back to Haiku 4.5..."
HAIKU_SUCCEEDS = "✅ [Haiku] Response completed"
EXTRACTS = "answering without a model"


@dataclass
class Reply:
    """What the caller was sent, in one form for both ways to ask."""

    status: int
    body: dict[str, Any]
    """The answer object, the `done` or `error` event's data, or the problem."""
    text: str
    names: list[str]
    """Event names in order, one for several `delta`s in a row; none when not streamed."""
    routes: list[dict[str, Any]]
    headers: dict[str, str]
    seconds: float


async def ask(http: httpx.AsyncClient, *, streamed: bool, **body: Any) -> Reply:
    """One turn."""
    started = time.monotonic()
    payload = {"message": QUESTION, **body, "stream": streamed}
    payload = {name: value for name, value in payload.items() if value is not None}
    async with http.stream("POST", "/chat", json=payload) as response:
        events: list[SentEvent] = []
        if response.headers["content-type"].startswith("text/event-stream"):
            events = [event async for event in sent_events(response)]
            answer = events[-1].data
        else:
            await response.aread()
            answer = response.json()
    names = [event.name for event in events]
    return Reply(
        status=response.status_code,
        body=answer,
        text=text_of(events) if streamed else answer.get("answer", ""),
        names=[n for i, n in enumerate(names) if n != "delta" or names[i - 1] != "delta"],
        routes=[event.data for event in events if event.name == "route"],
        headers=dict(response.headers),
        seconds=time.monotonic() - started,
    )


def told(logs: list[Any]) -> list[tuple[str, str]]:
    """The router's lines with their levels."""
    marks = ("[Llama Scout]", "[Haiku]", "Falling back", EXTRACTS)
    return [
        (entry["log_level"], entry["event"].partition("!")[0] + "!" * ("!" in entry["event"]))
        for entry in logs
        if any(mark in entry["event"] for mark in marks)
    ]


def fails(name: str, kind: FailureKind) -> tuple[str, str]:
    """The line of a failed call."""
    what = "API timeout" if kind.is_timeout else "API error"
    return "error" if kind in LOUD else "warning", f"⚠️  [{name}] Failed: {what}"


def check_no_secret(reply: Reply, logs: list[Any]) -> None:
    """Neither key, nor a provider's words, nor the question leaves by a failure."""
    seen = repr(logs) + (repr(reply.body) if reply.status != 200 else "")
    for secret in ("planted", "boom", QUESTION):
        assert secret not in seen
