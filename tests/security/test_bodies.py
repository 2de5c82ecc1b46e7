"""Rows 9 and 11 of the security matrix: bodies that are longer than they should be, or packed."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serving
from tests.test_cli import ZANTARA, environment, free_port, served
from tests.upstream import Upstream

TEN_GIGABYTES = 10 * 1024**3
CHUNK = b"x" * 1024**2
BOUND_MB = 100
"""Of resident memory: an upload of 20 MB and what is made of it."""
JSON = "Content-Type: application/json"
QUESTION = json.dumps({"message": "Quanto capitale serve per una PT PMA?"}).encode()


def memory_mb(pid: int, of: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(of)) / 1024


async def send_for_ever(client: httpx.AsyncClient, path: str, head: str, first: bytes) -> bytes:
    """Send a chunked body of ten gigabytes; the status line that ends it, and what was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    start = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n{head}\r\n\r\n"
    )
    answer = asyncio.create_task(reader.readline())
    sent = 0
    try:
        writer.write(start.encode() + b"%x\r\n%b\r\n" % (len(first), first))
        while sent < TEN_GIGABYTES and not answer.done():
            writer.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
            sent += len(CHUNK)
            async with asyncio.timeout(30):
                await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            line = await answer
    except ConnectionError:
        line = await answer  # it answered, and closed on what was still to come
    finally:
        writer.close()
    assert sent < 200 * 1024**2, "it took more than the limit by far"
    return line


BEGINNINGS = {
    "/chat": (JSON, b'{"message": "'),
    "/v1/chat/completions": (JSON, b'{"messages": ["'),
    "/search": (JSON, b'{"query": "'),
    "/documents": (
        "Content-Type: multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n',
    ),
}


async def test_row_9_a_body_without_end_is_cut_off_with_memory_flat(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    port = free_port()
    env = environment(data_dir, upstream, PORT=str(port), LOG_FORMAT="json")
    log = tmp_path / "log"
    async with served(ZANTARA, "serve", port=port, env=env, cwd=tmp_path, log=log) as (
        client,
        process,
    ):
        await client.post("/search", json={"query": "capital"})
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        before = memory_mb(process.pid, "VmRSS")
        lines = [
            await send_for_ever(client, path, head, first)
            for path, (head, first) in BEGINNINGS.items()
        ]
        grown = memory_mb(process.pid, "VmHWM") - before
        assert (await client.get("/health")).status_code == 200

    assert [line[:13] for line in lines] == [b"HTTP/1.1 413 "] * len(BEGINNINGS)
    assert grown < BOUND_MB
    assert "Traceback" not in log.read_text()


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_row_9_large_bodies_together_fill_no_memory(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.body_limit.MAX_BODY_BYTES", 10_000)
    monkeypatch.setattr("app.api.body_limit.MAX_HELD_BYTES", 30_000)
    large = b'{"message": "' + b" " * 20_000
    head = b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with serving() as client, asyncio.timeout(60):

        async def sent(body: bytes) -> int:
            with suppress(httpx.WriteError):  # refused before its end
                answer = await client.post(
                    "/chat", content=body, headers={"Content-Type": "application/json"}
                )
                return answer.status_code
            return 503

        _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(head + b"Content-Length: 20100\r\n\r\n" + large)
        while await sent(large) != 503:  # 400, as long as the other has not arrived
            await asyncio.sleep(0.01)
        assert await sent(b'{"message": " "}') == 422
        writer.close()
        while await sent(large) != 400:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(QUESTION)),
        ("gzip", gzip.compress(b" " * 50 * 1024**2 + QUESTION)),
        ("deflate", zlib.compress(QUESTION)),
        ("br", b"\x0b\x02\x80hello\x03"),
    ],
    ids=["gzip", "gzip-bomb", "deflate", "brotli"],
)
async def test_row_11_a_packed_body_is_not_unpacked(
    encoding: str, content: bytes, serving: Serving
) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    async with serving() as client:
        for body in (content, _pieces(content)):
            answer = await client.post("/chat", content=body, headers=headers)

            assert answer.status_code == 415
            assert "content-encoding" in answer.json()["detail"]
