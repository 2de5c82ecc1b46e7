"""A stand-in for both model APIs on loopback, in a process of its own.

`python -m bench.upstream PORT`. It answers `max_tokens` pieces, one write each, as fast as the
socket takes them, or so many milliseconds apart as `PUT /gap` asks for. `GET /rewrites` counts
the query rewrites that it was asked for. A protocol by hand rather than a framework: what it costs
is measured as a part of every target.
"""

import asyncio
import re
import sys
from typing import Any

import httptools
import msgspec
import uvloop

PIECE = "zq "
"""In no text of a document or a page: so many in an answer, so many pieces arrived."""

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
_LLAMA, _HAIKU = "meta-llama/llama-4-scout", "claude-haiku-4-5"
_REWRITING = b"You prepare searches"
_PLACES = {"it": "A Bali", "en": "On Bali", "id": "Di Bali"}
# The service puts into quotes what would begin a turn.
_QUESTION = re.compile(r'"user": (.*)\nconversation-\w+\Z', re.DOTALL)


class _Asked(msgspec.Struct):
    messages: list[dict[str, Any]] = []
    max_tokens: int = 32
    stream: bool = False


_asked = msgspec.json.Decoder(_Asked)


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(data: Any, name: str = "") -> bytes:
    prefix = b"event: %b\n" % name.encode() if name else b""
    return _part(b"%bdata: %b\n\n" % (prefix, msgspec.json.encode(data)))


def _chunk(content: str | None, finish: str | None = None) -> Any:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return {
        "id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": _LLAMA,
        "choices": [choice],
    }  # fmt: skip


def _usage(written: int) -> dict[str, Any]:
    return {"prompt_tokens": 500, "completion_tokens": written, "total_tokens": 500 + written}


def _llama(pieces: list[str]) -> list[bytes]:
    bill = {**_chunk(None), "choices": [], "usage": {**_usage(len(pieces)), "cost": 0.00034}}
    return [
        *(_event(_chunk(piece)) for piece in pieces),
        _event(_chunk(None, "stop")) + _event(bill) + _part(b"data: [DONE]\n\n"),
    ]


def _haiku(pieces: list[str]) -> list[bytes]:
    message: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": _HAIKU, "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 500, "output_tokens": 1},
    }  # fmt: skip
    block = {"type": "text", "text": ""}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[Any] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": piece},
            }
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": len(pieces)}},
        {"type": "message_stop"},
    ]
    return [_event(event, event["type"]) for event in events]


def _whole(pieces: list[str]) -> bytes:
    message = {"role": "assistant", "content": "".join(pieces)}
    return msgspec.json.encode(
        {
            "id": "gen-1", "object": "chat.completion", "created": 1, "model": _LLAMA,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _usage(len(pieces)),
        }
    )  # fmt: skip


def _rewritten(asked: _Asked) -> list[str]:
    """A query rewrite as the service asks for it: three texts, none of them the question itself."""
    found = _QUESTION.search(asked.messages[-1]["content"])
    assert found, f"no question to rewrite in {asked.messages[-1]}"
    texts = {language: f"{place}, {found[1]}" for language, place in _PLACES.items()}
    return [msgspec.json.encode(texts).decode()]


class _Connection(asyncio.Protocol):
    gap_s = 0.0
    rewrites = 0
    _transport: asyncio.Transport
    _made: dict[tuple[bool, int], list[bytes]] = {}  # noqa: RUF012 - of all connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._path, self._body = b"", b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        path, body, self._path, self._body = self._path, self._body, b"", b""
        if path == b"/gap":
            _Connection.gap_s = float(body) / 1000
            self._send_whole(b"{}")
        elif path == b"/rewrites":
            self._send_whole(b"%d" % _Connection.rewrites)
        elif self._parser.get_method() == b"GET":
            self._send_whole(b'{"data": {"limit_remaining": 4.2}, "id": "claude-haiku-4-5"}')
        else:
            self._answer(body, is_haiku=path.startswith(b"/v1/messages"))

    def _answer(self, body: bytes, *, is_haiku: bool) -> None:
        asked = _asked.decode(body)
        if _REWRITING in body:
            _Connection.rewrites += 1
            parts = _llama(_rewritten(asked))
        elif not asked.stream:
            self._send_whole(_whole([PIECE] * asked.max_tokens))
            return
        else:
            key = is_haiku, asked.max_tokens
            if key not in self._made:
                make = _haiku if is_haiku else _llama
                self._made[key] = make([PIECE] * asked.max_tokens)
            parts = self._made[key]
        self._transport.write(_HEAD % b"text/event-stream")
        self._send(parts, 0)

    def _send(self, parts: list[bytes], n: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(parts[n])
        if n + 1 == len(parts):
            self._transport.write(b"0\r\n\r\n")
        elif self.gap_s:
            asyncio.get_running_loop().call_later(self.gap_s, self._send, parts, n + 1)
        else:
            asyncio.get_running_loop().call_soon(self._send, parts, n + 1)

    def _send_whole(self, body: bytes) -> None:
        self._transport.write(_HEAD % b"application/json" + _part(body) + b"0\r\n\r\n")


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        _Connection, "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
