"""Rows 9, 11 and 32 of the security matrix: bodies too long, packed, or never finished."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.access.keys import KeyScope
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.test_cli import ZANTARA, environment, free_port, served
from tests.upstream import Upstream

TEN_GIGABYTES = 10 * 1024**3
CHUNK = b"x" * 1024**2
BOUND_MB = 100
"""Of resident memory: an upload of 20 MB and what is made of it."""
JSON = "Content-Type: application/json"
FORM = "Content-Type: multipart/form-data; boundary=b"
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
        FORM,
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


@pytest.fixture
def small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies of 20 kB are large ones, and three of them too many."""
    monkeypatch.setattr("app.api.body_limit.FREE_BYTES", 1_000)
    monkeypatch.setattr("app.api.body_limit.MAX_HELD_BYTES", 60_000)


LARGE = b'{"message": "' + b" " * 20_000
HEAD = b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


UPLOAD = BEGINNINGS["/documents"][1] + b"x" * 20_000
UPLOAD_HEAD = f"POST /documents HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\n".encode()


async def never_finished(
    client: httpx.AsyncClient, key: str, head: bytes = HEAD, body: bytes = LARGE
) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    head += f"Authorization: Bearer {key}\r\nContent-Length: 30000\r\n\r\n".encode()
    writer.write(head + body)
    await writer.drain()
    return writer


async def status_of(client: httpx.AsyncClient, key: str, body: bytes) -> int:
    headers = {"Content-Type": "application/json", **bearing(key)}
    with suppress(httpx.WriteError, httpx.ReadError):  # refused before its end
        return (await client.post("/chat", content=body, headers=headers)).status_code
    return 429


@pytest.mark.usefixtures("small_space")
async def test_row_32_bodies_that_are_never_finished_are_in_nobody_elses_way(
    serving: Serving, data_dir: Path
) -> None:
    greedy, other = (make_key(data_dir, name, KeyScope.CHAT) for name in ("greedy", "other"))
    async with serving() as client, asyncio.timeout(60):
        held = [await never_finished(client, greedy) for _ in range(3)]
        while await status_of(client, greedy, LARGE) != 429:
            await asyncio.sleep(0.01)
        # A 400: it was read to its end, and is no JSON.
        assert await status_of(client, other, LARGE) == 400
        assert await status_of(client, greedy, b'{"message": " "}') == 422
        for writer in held:
            writer.close()
        while await status_of(client, greedy, LARGE) != 400:
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("small_space")
async def test_row_32_uploads_that_are_never_finished_keep_nobody_from_uploading(
    serving: Serving, data_dir: Path
) -> None:
    scopes = (KeyScope.CHAT, KeyScope.DOCUMENTS)
    greedy, other = (make_key(data_dir, name, *scopes) for name in ("greedy", "other"))
    text = "# Permits\n\n" + "A permit lasts a year. " * 900
    async with serving() as client, asyncio.timeout(60):
        held = [await never_finished(client, greedy, UPLOAD_HEAD, UPLOAD) for _ in range(3)]
        while await status_of(client, greedy, LARGE) != 429:
            await asyncio.sleep(0.01)
        file = {"file": ("permits.md", text.encode())}
        sent = await client.post("/documents", files=file, headers=bearing(other))
        for writer in held:
            writer.close()

    assert sent.status_code == 201, sent.text


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
