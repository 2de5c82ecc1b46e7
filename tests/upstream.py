"""A scripted stand-in for both model APIs, at the wire.

A raw asyncio server, so that a script can send any bytes, break off anywhere or
say nothing. What it does is written by the test, step by step; a call without a
step left, or a step without a call, fails the test.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

LLAMA_PATH = "/api/v1/chat/completions"
HAIKU_PATH = "/v1/messages"


@dataclass
class Call:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the caller has hung up."""
    answered: bool = False
    """To the end."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """What a script writes on."""

    def __init__(
        self, writer: asyncio.StreamWriter, call: Call, *, keeps_connection: bool = False
    ) -> None:
        self.call = call
        self.keeps_connection = keeps_connection
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(
        self, status: int = 200, content_type: str = "text/event-stream", **headers: str
    ) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += ["Transfer-Encoding: chunked"]
        lines += [] if self.keeps_connection else ["Connection: close"]
        lines += ["", ""]
        await self.raw("\r\n".join(lines).encode())

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, data: Any, name: str | None = None) -> None:
        prefix = f"event: {name}\n" if name else ""
        text = data if isinstance(data, str) else json.dumps(data)
        await self.chunk(f"{prefix}data: {text}\n\n".encode())

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")
        self.call.answered = True

    async def hang(self) -> None:
        """Say nothing more until the caller hangs up."""
        await self.call.closed.wait()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self._writer.transport.abort()


Step = Callable[[Wire], Awaitable[None]]


class Upstream:
    """Plays OpenRouter and Anthropic on one loopback port."""

    def __init__(self) -> None:
        self.keeps_connections = False
        """Whether a connection serves one call after the other, as long as each ends well."""
        self.calls: list[Call] = []
        self.unexpected: list[str] = []
        self.openrouter_key: Step = _key_answer
        self.anthropic_key: Step = _model_answer
        self._steps: dict[str, deque[Step]] = {LLAMA_PATH: deque(), HAIKU_PATH: deque()}
        self._handlers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def settings(self) -> dict[str, str]:
        """The settings that point the service here.

        Questions are not rewritten unless a test asks for it, so that its script
        holds the calls for the answer alone.
        """
        return {
            "openrouter_base_url": f"{self.url}/api/v1",
            "anthropic_base_url": self.url,
            "openrouter_api_key_llama": "sk-or-v1-planted-0123456789",
            "anthropic_api_key": "sk-ant-planted-0123456789",
            "question_rewriting": "false",
        }

    def llama(self, *steps: Step) -> None:
        """What the next calls of Llama meet, in order."""
        self._steps[LLAMA_PATH].extend(steps)

    def haiku(self, *steps: Step) -> None:
        """What the next calls of Haiku meet, in order."""
        self._steps[HAIKU_PATH].extend(steps)

    @property
    def llama_calls(self) -> list[Call]:
        return [call for call in self.calls if call.path == LLAMA_PATH]

    @property
    def haiku_calls(self) -> list[Call]:
        return [call for call in self.calls if call.path == HAIKU_PATH]

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._handlers)

    def clear(self) -> None:
        """Forget the calls and the steps: for a server that many tests share."""
        self.calls.clear()
        self.unexpected.clear()
        for steps in self._steps.values():
            steps.clear()

    def verify(self) -> None:
        """Fail on calls that no step was written for, and on steps that no call used."""
        assert not self.unexpected, f"calls without a step: {self.unexpected}"
        left = {path: len(steps) for path, steps in self._steps.items() if steps}
        assert not left, f"steps without a call: {left}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the service hung up: for many tests that is the point
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        while first:
            call = await _read(first, reader)
            step = self._step_for(call)
            wire = Wire(writer, call, keeps_connection=self.keeps_connections)
            watching = asyncio.create_task(_watch(reader, call))
            try:
                await step(wire)
                if not (wire.keeps_connection and call.answered):
                    return
                first = await watching
            finally:
                watching.cancel()

    def _step_for(self, call: Call) -> Step:
        if call.path == "/api/v1/key":
            return self.openrouter_key
        if call.path.startswith("/v1/models/"):
            return self.anthropic_key
        self.calls.append(call)
        steps = self._steps.get(call.path)
        if not steps:
            self.unexpected.append(call.path)
            return status(500, {"error": {"message": "the test wrote no step for this call"}})
        return steps.popleft()


async def _read(first: bytes, reader: asyncio.StreamReader) -> Call:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(method, path.partition("?")[0], headers, body)


async def _watch(reader: asyncio.StreamReader, call: Call) -> bytes:
    """The first byte of the connection's next call; none when the caller has hung up."""
    with suppress(ConnectionError):
        if first := await reader.read(1):
            return first
    call.closed.set()
    return b""


def status(code: int, body: Any = None, **headers: str) -> Step:
    """An ordinary answer of any status, in JSON unless `body` is text."""

    async def step(wire: Wire) -> None:
        is_text = isinstance(body, str)
        await wire.head(code, "text/html" if is_text else "application/json", **headers)
        if content := body.encode() if is_text else json.dumps(body).encode():
            await wire.chunk(content)  # an empty one would be the end already
        await wire.end()

    return step


_key_answer = status(200, {"data": {"label": "test", "limit_remaining": 4.2}})
_model_answer = status(200, {"type": "model", "id": "claude-haiku-4-5", "display_name": "Haiku"})


def llama_chunk(content: str | None = None, finish: str | None = None, **more: Any) -> Any:
    """One chunk of a streamed chat completion."""
    return {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "model": "meta-llama/llama-4-scout",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}],
        **more,
    }


def llama_usage(
    input_tokens: int = 500, output_tokens: int = 100, cost: float | None = 0.00034
) -> Any:
    """The last chunk, which has the usage and no choice."""
    usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    return {
        "id": "gen-1",
        "model": "meta-llama/llama-4-scout",
        "choices": [],
        "usage": usage if cost is None else {**usage, "cost": cost},
    }


def llama_calls(*calls: tuple[str, str, str], finish: str = "tool_calls") -> Step:
    """An answer of Llama that calls tools: id, name and arguments as text, in two pieces."""

    async def step(wire: Wire) -> None:
        await wire.head(X_Generation_Id="gen-1")
        for index, (call_id, name, arguments) in enumerate(calls):
            middle = len(arguments) // 2
            head = {"index": index, "id": call_id, "type": "function"}
            for delta in (
                {**head, "function": {"name": name, "arguments": arguments[:middle]}},
                {"index": index, "function": {"arguments": arguments[middle:]}},
            ):
                await wire.event({"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]})
        await wire.event(llama_chunk(finish=finish))
        await wire.event(llama_usage())
        await wire.end()

    return step


def llama_says(
    *pieces: str, usage: Any = None, finish: str = "stop", gate: asyncio.Event | None = None
) -> Step:
    """A whole answer of Llama. With `gate`, what follows the first piece waits for it."""

    async def step(wire: Wire) -> None:
        await wire.head(X_Generation_Id="gen-1")
        await wire.chunk(b": OPENROUTER PROCESSING\n\n")
        for position, piece in enumerate(pieces):
            await wire.event(llama_chunk(piece))
            if position == 0 and gate is not None:
                await gate.wait()
        await wire.event(llama_chunk(finish=finish))
        await wire.event(usage or llama_usage())
        await wire.event("[DONE]")
        await wire.end()

    return step


def haiku_events(pieces: Sequence[str], stop_reason: str = "end_turn") -> list[Any]:
    """The events of a whole message of Haiku."""
    start = {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5-20251001",
            "content": [],
            "usage": {"input_tokens": 600, "output_tokens": 1},
        },
    }
    block = {"type": "text", "text": ""}
    return [
        start,
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": piece},
            }
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": None},
            "usage": {"output_tokens": 120},
        },
        {"type": "message_stop"},
    ]


def haiku_says(*pieces: str, stop_reason: str = "end_turn") -> Step:
    """A whole answer of Haiku."""
    return haiku_sends(haiku_events(pieces, stop_reason))


def haiku_calls(
    *calls: tuple[str, str, Any], text: str = "", stop_reason: str = "tool_use"
) -> Step:
    """An answer of Haiku that calls tools: id, name, and the arguments or their JSON."""
    *before, delta, stop = haiku_events([text] if text else [], stop_reason)
    blocks = [
        event
        for index, (call_id, name, arguments) in enumerate(calls, 1)
        for event in _tool_use(index, call_id, name, arguments)
    ]
    return haiku_sends([*before, *blocks, delta, stop])


def _tool_use(index: int, call_id: str, name: str, arguments: Any) -> list[Any]:
    """A call in three pieces of JSON, the first of them empty, as the API sends it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    middle = len(text) // 2
    deltas = [
        {"type": "input_json_delta", "partial_json": piece}
        for piece in ("", text[:middle], text[middle:])
    ]
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def haiku_sends(events: Sequence[Any]) -> Step:
    """These events of Haiku, and the end."""

    async def step(wire: Wire) -> None:
        await wire.head()
        for event in events:
            await wire.event(event, name=event["type"])
        await wire.end()

    return step


async def hang(wire: Wire) -> None:
    """Accept the call and never answer."""
    await wire.hang()
