"""The load: so many clients at once, each over a connection of its own, one request after another.

A protocol by hand over httptools, because a client library costs more than what is measured.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools

from bench.upstream import PIECE

_PIECE = PIECE.strip().encode()
_DEGRADED = b'"degraded":true'
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, and how many pieces a whole answer has."""

    url: str
    body: dict[str, Any]

    @property
    def pieces(self) -> int:
        """How many pieces a whole answer has; a search's has none."""
        pieces: int = self.body.get("max_tokens", 0)
        return pieces

    def head_and_body(self) -> bytes:
        """The request's bytes."""
        body = json.dumps(self.body).encode()
        parts = urlsplit(self.url)
        return (
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            "content-type: application/json\r\nauthorization: Bearer sk-bench\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode() + body


@dataclass(slots=True)
class Answer:
    """One answer: milliseconds to its first piece and its end, the longest without a piece.

    The first piece of an answer without pieces is its end.
    """

    is_first: bool = False
    """Its client's: all clients ask theirs in the same moment."""
    first_ms: float = 0.0
    total_ms: float = 0.0
    gap_ms: float = 0.0
    status: int = 0
    degraded: bool = False
    """Found without vectors."""
    error: str | None = None


@dataclass
class Load:
    """What came of a load. Errors are counted by what they said."""

    answers: list[Answer] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of the generator itself."""

    @property
    def good(self) -> list[Answer]:
        """The answers that came whole."""
        return [answer for answer in self.answers if answer.error is None]

    @property
    def errors(self) -> list[str]:
        """What the others said."""
        return [answer.error for answer in self.answers if answer.error is not None]


class _Client(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport
    done: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    async def ask(self, request: bytes, pieces: int) -> Answer:
        self._parser = httptools.HttpResponseParser(self)
        self._answer, self._pieces, self._seen, self._text = Answer(), pieces, 0, bytearray()
        self.done = asyncio.get_running_loop().create_future()
        self._began = self._last = time.perf_counter()
        self.transport.write(request)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self.done
        except TimeoutError:
            self._answer.error = f"not whole after {_PATIENCE_S:.0f} s"
            return self._answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        # A piece may be cut in two by the network.
        before = max(0, len(self._text) - len(_PIECE) + 1)
        self._text += body
        found = self._text.count(_PIECE, before)
        if not found:
            return
        now = time.perf_counter()
        if self._seen:
            self._answer.gap_ms = max(self._answer.gap_ms, (now - self._last) * 1000)
        else:
            self._answer.first_ms = (now - self._began) * 1000
        self._last = now
        self._seen += found

    def on_message_complete(self) -> None:
        answer = self._answer
        answer.total_ms = (time.perf_counter() - self._began) * 1000
        answer.status = self._parser.get_status_code()
        answer.degraded = _DEGRADED in self._text
        if not self._pieces:
            answer.first_ms = answer.total_ms
        if answer.status != 200:
            answer.error = f"HTTP {answer.status}"
        elif self._seen != self._pieces:
            answer.error = f"{self._seen} of {self._pieces} pieces"
        if self.done and not self.done.done():
            self.done.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.done and not self.done.done():
            self._answer.error = f"connection lost: {exc}"
            self.done.set_result(self._answer)


async def load(
    requests: Callable[[], Iterator[Request]],
    at_once: int,
    *,
    seconds: float = 0.0,
    least: int = 1,
    opened_a_second: float = float("inf"),
) -> Load:
    """Ask for `seconds`, and until each client has had `least` answers.

    `requests` makes each client's requests; a client whose requests end ends before.
    """
    loop = asyncio.get_running_loop()
    result = Load()
    began, cpu = time.perf_counter(), time.process_time()

    async def client(number: int) -> None:
        await asyncio.sleep(number / opened_a_second)
        connected: _Client | None = None
        for n, request in enumerate(requests()):
            if n >= least and time.perf_counter() - began > seconds:
                break
            if connected is None or connected.transport.is_closing():
                address = urlsplit(request.url)
                assert address.hostname, request.url
                _, connected = await loop.create_connection(
                    _Client, address.hostname, address.port or 80
                )
            answer = await connected.ask(request.head_and_body(), request.pieces)
            answer.is_first = n == 0
            result.answers.append(answer)
            if answer.error:
                connected.transport.close()
        if connected:
            connected.transport.close()

    await asyncio.gather(*(client(n) for n in range(at_once)))
    result.wall_s = time.perf_counter() - began
    result.cpu_s = time.process_time() - cpu
    return result
