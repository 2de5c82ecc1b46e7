"""Limits that several machines share, against a real Redis."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.access import shared_counts
from app.access.rates import Rates, open_rates
from app.settings import Settings
from tests.conftest import Serving

REDIS = Path(sys.executable).with_name("redis-server")
ADDRESS = "198.51.100.1"
THREE: dict[str, Any] = {"requests_per_minute_per_address": 3, "allow_no_keys": True}

pytestmark = pytest.mark.skipif(not REDIS.exists(), reason="redis-server is not installed")


class Redis:
    """A server on a free loopback port, which keeps nothing."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port: int = probe.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://:planted@127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(str(REDIS), "--bind", "127.0.0.1", "--port", str(self._port), "--save", ""),
            *("--requirepass", "planted"),
            stdout=subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def stop(self) -> None:
        if self._process:
            self._process.kill()
            await self._process.wait()
            self._process = None


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    server = Redis()
    await server.start()
    yield server
    await server.stop()


async def admitted(rates: Rates, times: int) -> int:
    return sum([await rates.admit(None, ADDRESS) is None for _ in range(times)])


async def test_machines_count_together_and_alone_while_redis_is_down(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_counts, "RETRY_S", 0.05)
    settings = Settings(_env_file=None, redis_url=SecretStr(redis.url), **THREE)
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(open_rates(settings)) for _ in range(2)]
        assert (await admitted(one, 2), await admitted(two, 5)) == (2, 1)
        over = await two.admit(None, ADDRESS)
        assert over
        assert over.limit == "3 requests a minute of this address"
        assert 1 <= over.retry_after_s <= 120

        await one.used(None, ADDRESS, 400_000)
        assert "tokens a minute of this address" in str(await two.admit(None, ADDRESS))

        await redis.stop()
        assert (await admitted(one, 5), await admitted(two, 5)) == (3, 3)

        await redis.start()  # empty
        async with asyncio.timeout(30):
            while not await admitted(one, 1):  # by itself it has no room left
                await asyncio.sleep(0.02)
        await admitted(one, 3)
        assert await admitted(two, 1) == 0


async def test_the_service_counts_where_redis_url_says(redis: Redis, serving: Serving) -> None:
    stranger = {"X-Forwarded-For": "203.0.113.7"}
    settings = Settings(_env_file=None, redis_url=SecretStr(redis.url), **THREE)
    async with serving(redis_url=redis.url, **THREE) as client, open_rates(settings) as elsewhere:
        assert (await client.get("/v1/models", headers=stranger)).status_code == 200
        for _ in range(2):
            assert await elsewhere.admit(None, "127.0.0.1") is None
        refused = await client.get("/v1/models", headers=stranger)
    assert refused.status_code == 429
