"""Rows 27 and 28 of the security matrix: what a stranger may send before it is known."""

import asyncio
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice, repeat

import pytest

from app.protocol import MAX_HEAD_BYTES, MAX_UNANSWERED, BoundedProtocol
from tests.attacking import Victim
from tests.conftest import Serving

MEGABYTES = 44
HEALTH_LIMIT_S = 2.0
"""With other tests on the same processors; `scripts/attack.py` requires half a second."""
GROWTH_LIMIT_MB = 50
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def of(piece: bytes) -> Iterable[bytes]:
    """So many megabytes of it, in pieces."""
    block = piece * (100_000 // len(piece) + 1)
    return islice(repeat(block), MEGABYTES * 10)


ENDLESS = {
    "many header lines": (GET, b"a: b\r\n", b"431"),
    "one header line": (GET + b"a: ", b"b", b"431"),
    "the name of a header": (GET, b"a", b"431"),
    "the target": (b"GET /", b"a", b"431"),
    "the method": (b"", b"GETGET", b"400"),
    "empty lines before a request": (b"", b"\r\n", b"431"),
    "spaces before a request": (b"", b" ", b"400"),
    "header lines of nothing": (GET, b":\r\n", b"400"),
    "an extension of a chunk": (CHUNKED + b"1;", b"a", b"close"),
    "extensions of chunks": (CHUNKED, b"1;" + b"a" * 1000 + b"\r\nx\r\n", b"close"),
    "zeros before the length of a chunk": (CHUNKED, b"0", b"close"),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n", b"close"),
    "a trailer": (CHUNKED + b"0\r\na: ", b"b", b"close"),
    "an upgrade": (GET + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n", b"a", b"close"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_row_27_a_head_without_end_is_cut_off_with_memory_flat(name: str, attacked: Victim) -> None:
    head, piece, expected = ENDLESS[name]
    with attacked.watched() as seen:
        answer = attacked.send([head, *of(piece)])

    if expected != b"close":
        assert answer.split(b" ")[1] == expected
    assert seen.alive
    assert seen.grown_mb < GROWTH_LIMIT_MB
    assert seen.slowest_health_s < HEALTH_LIMIT_S


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GET + b"a: " + b"b" * (MAX_HEAD_BYTES - len(GET) - 7) + b"\r\n\r\n", b"200"),
        (GET + b"a: " + b"b" * (MAX_HEAD_BYTES - len(GET) - 6) + b"\r\n\r\n", b"431"),
        (GET + b"a: b\r\n" * 127 + b"\r\n", b"200"),
        (GET + b"a: b\r\n" * 128 + b"\r\n", b"431"),
        (b"GET /health?" + b"a" * 8100 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"200"),
        (b"GET /health?" + b"a&" * 4100 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
    ],
)
def test_row_27_the_bounds_of_a_head_are_exact(
    head: bytes, status: bytes, attacked: Victim
) -> None:
    with attacked.connect() as connection:
        connection.sendall(head)
        assert connection.recv(100).split(b" ")[1] == status


def test_row_27_cookies_cost_no_more_than_their_bytes(attacked: Victim) -> None:
    cookie = b'Cookie: a="' + b'\\"' * 30_000 + b'"\r\n'
    with attacked.watched() as seen:
        for line in (cookie, cookie.replace(b"Cookie", b"COOKIE")):
            answer = attacked.send([GET, line, b"Connection: close\r\n\r\n"])
            assert answer.split(b" ")[1] == b"200"

    assert seen.slowest_health_s < HEALTH_LIMIT_S
    assert seen.processor_s < 2


def test_row_27_a_head_in_pieces_of_a_byte_costs_no_more_than_its_bytes(attacked: Victim) -> None:
    head = GET + b"a: " + b"b" * 60_000 + b"\r\n\r\n"
    with attacked.watched() as seen, attacked.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(len(head)):
            connection.send(head[n : n + 1])
        assert connection.recv(100).split(b" ")[1] == b"200"

    assert seen.slowest_health_s < HEALTH_LIMIT_S
    assert seen.processor_s < 10


def test_row_28_thousands_of_requests_in_one_write_are_answered_one_after_another(
    attacked: Victim,
) -> None:
    number = 8_000
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answers = bytearray()
    with attacked.watched() as seen, attacked.connect() as connection:
        connection.settimeout(0.2)
        left = memoryview(b"GET /x HTTP/1.1\r\n\r\n" * number + last)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if left:
                left = left[connection.send(left[:65536]) :]
            piece = connection.recv(1_000_000)
            if not piece:
                break
            answers += piece

    assert answers.count(b"HTTP/1.1 404 ") + answers.count(b"HTTP/1.1 401 ") == number
    assert answers.count(b"HTTP/1.1 200 OK") == 1
    assert seen.slowest_health_s < HEALTH_LIMIT_S
    assert seen.grown_mb < GROWTH_LIMIT_MB


def test_row_28_a_body_in_chunks_of_a_byte_costs_no_more_than_its_bytes(attacked: Victim) -> None:
    with attacked.watched() as seen:
        answer = attacked.send([
            b"POST /search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\n\r\n",
            *repeat(b"1\r\n \r\n" * 10_000, 120),
        ])  # fmt: skip

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert seen.slowest_health_s < HEALTH_LIMIT_S
    assert seen.grown_mb < GROWTH_LIMIT_MB


async def test_row_28_few_requests_wait_on_a_connection(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = []
    on_headers_complete = BoundedProtocol.on_headers_complete

    def noted(protocol: BoundedProtocol) -> None:
        on_headers_complete(protocol)
        waiting.append(len(protocol._unanswered))

    monkeypatch.setattr(BoundedProtocol, "on_headers_complete", noted)
    async with serving() as client, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        # One of them with a body that looks like more requests.
        body = b"GET /x HTTP/1.1\r\n\r\n" * 100
        head = b"POST /x HTTP/1.1\r\nContent-Length: %d\r\nHost: localhost\r\n\r\n" % len(body)
        writer.write(b"GET /x HTTP/1.1\r\n\r\n" * 500 + head + body)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 501:
            answers += await reader.read(65536)
        writer.close()

    assert max(waiting) == MAX_UNANSWERED <= 16
    assert len([each for each in waiting if each]) >= 501


@pytest.mark.parametrize(
    ("limit", "most", "sent"),
    [("MAX_WAITING", 10, b""), ("MAX_WAITING_BYTES", 300_000, GET + b"a: " + b"b" * 30_000)],
)
async def test_row_27_of_many_connections_that_wait_the_oldest_are_closed(
    limit: str, most: int, sent: bytes, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as client, asyncio.timeout(30):
        monkeypatch.setattr(f"app.protocol.{limit}", most)
        waiting = []
        for _ in range(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
            writer.write(sent)
            waiting.append((reader, writer))
            # Whoever sends a whole request has its answer.
            assert (await client.get("/health")).status_code == 200
        for reader, _ in waiting[:15]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert not waiting[-1][0].at_eof()
        for _, writer in waiting:
            writer.close()
