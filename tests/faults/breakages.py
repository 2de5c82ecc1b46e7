"""How a model's API can go wrong at the wire, one function a way, for both APIs."""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.upstream import Step, Wire, haiku_events, llama_chunk, llama_usage

SAID = "Oltre dieci "
REST = "miliardi di rupie [1]."
BOMB_MB = 100
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@dataclass(frozen=True)
class Api:
    """How one of the models speaks, event by event."""

    opening: Sequence[Any]
    closing: Sequence[Any]
    piece: Callable[[str], Any]
    error: Callable[[int], Any]
    """The error object of an HTTP status."""

    def encode(self, event: Any) -> bytes:
        """An event as it stands on the wire; a string is sent as it is."""
        if isinstance(event, str):
            return f"data: {event}\n\n".encode()
        name = f"event: {event['type']}\n" if "type" in event else ""
        return f"{name}data: {json.dumps(event)}\n\n".encode()

    def stream(self, *events: Any) -> bytes:
        """Several events, one after the other."""
        return b"".join(self.encode(event) for event in events)

    def answer(self, *pieces: str) -> bytes:
        """A whole answer, without a fault."""
        return self.stream(*self.opening, *map(self.piece, pieces), *self.closing)


_HAIKU = haiku_events(())
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    422: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def _haiku_piece(text: str) -> Any:
    delta = {"type": "text_delta", "text": text}
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def _llama_error(code: int, message: str = "boom", **metadata: Any) -> Any:
    error: dict[str, Any] = {"code": code, "message": message}
    return {"error": {**error, "metadata": metadata} if metadata else error}


def _haiku_error(code: int, message: str = "boom") -> Any:
    kind = _ANTHROPIC_TYPES.get(code, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


LLAMA_API = Api(
    (llama_chunk(""),),
    (llama_chunk(finish="stop"), llama_usage(), "[DONE]"),
    llama_chunk,
    _llama_error,
)
HAIKU_API = Api(_HAIKU[:3], _HAIKU[3:], _haiku_piece, _haiku_error)

Breakage = Callable[[Wire, Api], Awaitable[None]]
Part = bytes | Callable[[Api], bytes]


def step(breakage: Breakage, api: Api) -> Step:
    """The breakage as a step of the scripted upstream."""

    async def played(wire: Wire) -> None:
        await breakage(wire, api)

    return played


def opening(api: Api) -> bytes:
    """What comes before the first content."""
    return api.stream(*api.opening)


def said(api: Api) -> bytes:
    """The first words of an answer."""
    return opening(api) + api.stream(api.piece(SAID))


def whole(api: Api) -> bytes:
    """An answer as it should be."""
    return api.answer(SAID, REST)


def event(data: Any) -> Part:
    """One event, the same for both."""
    return lambda api: api.encode(data)


def error_event(code: int) -> Part:
    """An error in the stream, as the API words it."""
    return lambda api: api.encode(api.error(code))


def sends(*parts: Part, then: str = "end") -> Breakage:
    """A 200 that streams `parts`, then says `end`, says nothing (`hang`), closes or resets."""

    async def breakage(wire: Wire, api: Api) -> None:
        await wire.head()
        for part in parts:
            await put(wire, api, part)
        await _then(wire, then)

    return breakage


async def put(wire: Wire, api: Api, part: Part) -> None:
    """Send a part, and let it be read before anything follows.

    A reset that comes too early throws away what the caller had not read yet.
    Both ends share one event loop, so some turns of it are enough, however busy
    the machine is.
    """
    await wire.chunk(part if isinstance(part, bytes) else part(api))
    for _ in range(50):
        await asyncio.sleep(0)


async def _then(wire: Wire, what: str) -> None:
    if what == "end":
        await wire.end()
    elif what == "hang":
        await wire.hang()
    elif what == "reset":
        wire.reset()
    else:
        assert what == "close"


def answers(code: int, body: Any = None, **headers: str) -> Breakage:
    """An ordinary answer: the API's own error object, or `body`, which is HTML when it is text."""

    async def breakage(wire: Wire, api: Api) -> None:
        is_text = isinstance(body, str)
        await wire.head(code, "text/html" if is_text else "application/json", **headers)
        content = body if is_text else json.dumps(api.error(code) if body is None else body)
        await wire.chunk(content.encode())
        await wire.end()

    return breakage


def answers_error(code: int, error_of: int) -> Breakage:
    """A status that is not the error's own."""

    async def breakage(wire: Wire, api: Api) -> None:
        await answers(code, api.error(error_of))(wire, api)

    return breakage


def for_ever(part: Part, *before: Part, pause_s: float = 0.01) -> Breakage:
    """`part` again and again until the caller hangs up."""

    async def breakage(wire: Wire, api: Api) -> None:
        await wire.head()
        data = part if isinstance(part, bytes) else part(api)
        for first in before:
            await put(wire, api, first)
        while not wire.call.closed.is_set():
            await wire.chunk(data)
            await asyncio.sleep(pause_s)

    return breakage


async def silent(wire: Wire, _: Api) -> None:
    """Takes the call and never answers."""
    await wire.hang()


async def headers_without_end(wire: Wire, _: Api) -> None:
    await wire.raw(HEADERS)
    while not wire.call.closed.is_set():
        await wire.raw(b"X-More: %b\r\n" % (b"x" * 500))
        await asyncio.sleep(0)


async def headers_byte_by_byte(wire: Wire, _: Api) -> None:
    for byte in HEADERS + b"X-More: " + b"x" * 1000:
        if wire.call.closed.is_set():
            return
        await wire.raw(bytes([byte]))
        await asyncio.sleep(0.01)


async def not_http(wire: Wire, _: Api) -> None:
    await wire.raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


async def closes_at_once(_: Wire, __: Api) -> None:
    """Reads the call and hangs up."""


async def resets_at_once(wire: Wire, _: Api) -> None:
    wire.reset()


def content_length(error_by: int) -> Breakage:
    """A `Content-Length` that is wrong by so many bytes, with only the first words sent."""

    async def breakage(wire: Wire, api: Api) -> None:
        body = said(api) if error_by > 0 else whole(api)
        length = len(body) + error_by if error_by > 0 else len(opening(api))
        await wire.raw(HEADERS + b"Content-Length: %d\r\n\r\n" % length)
        await wire.raw(body)
        for _ in range(50):
            await asyncio.sleep(0)

    return breakage


def truncated_json(code: int) -> Breakage:
    """Half of an error object."""

    async def breakage(wire: Wire, api: Api) -> None:
        body = json.dumps(api.error(code)).encode()
        await wire.head(code, "application/json")
        await wire.chunk(body[: len(body) // 2])
        await wire.end()

    return breakage


def half_an_event(before: Part) -> Breakage:
    """Closed in the middle of an event."""

    async def breakage(wire: Wire, api: Api) -> None:
        piece = api.encode(api.piece(REST))
        await sends(before, piece[: len(piece) // 2], then="close")(wire, api)

    return breakage


async def every_byte_alone(wire: Wire, api: Api) -> None:
    await wire.head()
    for byte in whole(api):
        await wire.chunk(bytes([byte]))
        await asyncio.sleep(0)
    await wire.end()


async def in_another_dress(wire: Wire, api: Api) -> None:
    """CRLF, comments between all lines, several `data` lines to an event, a byte order mark."""
    dressed = b"\xef\xbb\xbf"
    for one in whole(api).decode().removesuffix("\n\n").split("\n\n"):
        lines = one.split("\n")
        data = lines[-1].removeprefix("data: ")
        if data.startswith("{"):
            # A line break is white space in JSON, where white space may stand.
            lines[-1] = "data: {\r\n: between\r\ndata:" + data[1:]
        dressed += b": OPENROUTER PROCESSING\r\nid: 7\r\nretry: 10\r\n"
        dressed += "\r\n".join(lines).encode() + b"\r\n\r\n"
    await sends(dressed)(wire, api)


def line_of(megabytes: int, *before: Part) -> Breakage:
    """An event of so many megabytes without a line break."""

    async def breakage(wire: Wire, api: Api) -> None:
        await sends(*before, b"data: ", then="close")(wire, api)
        for _ in range(megabytes * 16):
            await wire.chunk(b"x" * 65_536)
        await wire.end()

    return breakage


@cache
def bomb() -> bytes:
    """`BOMB_MB` megabytes of nothing, in gzip."""
    packer = zlib.compressobj(1, wbits=31)
    packed = [packer.compress(bytes(1_000_000)) for _ in range(BOMB_MB)]
    return b"".join([*packed, packer.flush()])


def gzip_bomb(code: int) -> Breakage:
    """A compressed body that nobody asked for."""

    async def breakage(wire: Wire, _: Api) -> None:
        content_type = "text/event-stream" if code == 200 else "application/json"
        await wire.head(code, content_type, Content_Encoding="gzip")
        await wire.chunk(bomb())
        await wire.end()

    return breakage


def raw(head: str) -> Breakage:
    """An answer with exactly that head, in Latin-1, and no error object."""

    async def breakage(wire: Wire, _: Api) -> None:
        await wire.raw(f"{head}\r\nContent-Length: 2\r\n\r\n{{}}".encode("latin-1"))
        wire.call.answered = True

    return breakage


def half_a_body(code: int, then: str, **headers: str) -> Breakage:
    """An error whose body begins, and then says nothing (`hang`) or is cut off (`close`)."""

    async def breakage(wire: Wire, api: Api) -> None:
        await wire.head(code, "application/json", **headers)
        await put(wire, api, b'{"error": {"message": "bo')
        await _then(wire, then)

    return breakage


def endless_body(code: int, content_type: str = "application/json") -> Breakage:
    """A body that does not end, sent as fast as it is read."""

    async def breakage(wire: Wire, _: Api) -> None:
        await wire.head(code, content_type)
        while not wire.call.closed.is_set():
            await wire.chunk(b" " * 65_536)

    return breakage
