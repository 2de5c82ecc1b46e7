"""Bodies that do not come, or come slowly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import pytest

from app.api import body_limit
from tests.conftest import Serving
from tests.upstream import Upstream, llama_says

QUESTION = {"message": "Quanto capitale per una PT PMA?"}


@asynccontextmanager
async def half_sent(client: httpx.AsyncClient) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which a body was begun; yields what the service says on it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    head = "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 500\r\n\r\n{{".encode())
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()
        with suppress(ConnectionError):  # where the service ended first
            await writer.wait_closed()


async def test_a_body_that_does_not_arrive_is_refused_and_holds_no_place(
    upstream: Upstream, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.llama(llama_says("Dieci miliardi."))
    async with serving(max_concurrent_requests=1) as client, AsyncExitStack() as stack:
        waiting = [await stack.enter_async_context(half_sent(client)) for _ in range(3)]
        assert (await client.post("/chat", json=QUESTION)).status_code == 200
        assert all(reader.at_eof() is False for reader in waiting)

        monkeypatch.setattr(body_limit, "TIME_S", 0.1)
        monkeypatch.setattr(body_limit, "BYTES_PER_S", 1e9)
        reader = await stack.enter_async_context(half_sent(client))
        async with asyncio.timeout(20):
            refused = await reader.read()

    assert refused.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive whole within 0 s" in refused


async def test_a_body_that_came_fast_may_not_rest_for_that_at_its_end(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "STALL_S", 0.1)
    async with serving() as client, half_sent(client) as reader:
        async with asyncio.timeout(20):
            refused = await reader.read()

    assert refused.startswith(b"HTTP/1.1 408 ")
    assert b"more slowly than 10000 bytes a second for 0 s" in refused
