"""Row 8 of the security matrix: what the service connects to, and what it does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from app.errors import VectorsUnavailable
from app.retrieval.remote_embedder import RemoteEmbedder
from tests.conftest import Serving
from tests.upstream import Upstream, llama_says, status

QUESTION = "Quanto capitale serve per una PT PMA?"
PRIVATE = (
    "http://127.0.0.1:{port}/x", "http://[::1]:{port}/x", "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:10.0.0.1]/x", "http://0x7f.1:{port}/x", "http://[64:ff9b::7f00:1]/x",
    "http://[fdaa::3]/x", "http://localhost:{port}/x", "http://2130706433:{port}/x",
    "file:///etc/passwd", "data:image/png;base64,AAAA", "https://evil.example/x.png",
)  # fmt: skip


@asynccontextmanager
async def trap() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port on which nobody should ring; yields it, and what was said on it."""
    heard: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(10_000))
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_row_8_no_redirect_is_followed_with_a_key_in_hand(
    code: int, upstream: Upstream, serving: Serving
) -> None:
    async with trap() as (port, heard):
        moved = status(code, "", Location=f"http://127.0.0.1:{port}/v1/steal")
        upstream.openrouter_key = upstream.anthropic_key = moved
        upstream.llama(moved)
        upstream.haiku(moved, moved)
        async with serving(circuit_breaker=False) as client:
            answer = await client.post("/chat", json={"message": QUESTION})
        upstream.clear()

    assert answer.json()["ai_used"] == "extractive"
    assert heard == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_row_8_nor_with_the_key_of_an_embeddings_server(
    code: int,
) -> None:
    async with trap() as (port, heard):

        async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"embeddings-planted" in head
            to = f"Location: http://127.0.0.1:{port}/v1/steal"
            writer.write(f"HTTP/1.1 {code} Moved\r\n{to}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(moved, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            embedder = RemoteEmbedder(url, "model", 8, "embeddings-planted-0123456789")
            with closing(embedder), pytest.raises(VectorsUnavailable, match=f"HTTP {code}"):
                await asyncio.to_thread(embedder.embed_queries, [QUESTION])
    assert heard == []


def _with_picture(url: str) -> list[tuple[str, Any]]:
    """The same picture in the form of each door."""
    part = {"type": "image_url", "image_url": {"url": url}}
    asked = [{"role": "user", "content": [{"type": "text", "text": QUESTION}, part]}]
    ui = [
        {"type": "text", "text": QUESTION},
        {"type": "file", "mediaType": "image/png", "url": url},
    ]
    return [
        *(("/v1/chat/completions", {"model": m, "messages": asked}) for m in ("zantara", "haiku")),
        ("/chat", {"messages": asked}),
        ("/chat", {"message": QUESTION, "image_url": url}),
        ("/api/chat", {"messages": [{"role": "user", "parts": ui}]}),
        ("/documents", {"url": url}),
    ]


async def test_row_8_no_url_of_a_caller_is_fetched(upstream: Upstream, serving: Serving) -> None:
    async with trap() as (port, heard), serving() as client:
        answers = [
            await client.post(path, json=body)
            for address in PRIVATE
            for path, body in _with_picture(address.format(port=port))
        ]

    assert {answer.status_code for answer in answers} <= {400, 415, 422}
    assert heard == []
    assert upstream.calls == []


async def test_row_8_nor_one_in_a_question_a_document_or_an_answer(
    upstream: Upstream, serving: Serving
) -> None:
    async with trap() as (port, heard):
        address = f"http://127.0.0.1:{port}/x"
        text = f"---\nuri: {address}\n---\n# Kites\n\n![x]({address}) <img src={address}>\n"
        upstream.llama(llama_says(f"![x]({address}) <img src={address}>"))
        async with serving() as client:
            sent = await client.post("/documents", files={"file": ("kites.md", text)})
            asked = await client.post("/chat", json={"message": f"Kites? {address}"})

    assert (sent.status_code, asked.status_code) == (201, 200)
    assert heard == []
