"""What twice the load costs: `python -m scripts.bench_load [ROUNDS]`.

A service that takes so many requests at once, in a process of its own, is sent as
many, then twice as many; Llama is played on loopback, with the guide's 880 ms to its
first token.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from scripts.bench_fallback import print_times
from tests.upstream import Upstream, Wire, llama_says

QUESTION = "Quanto capitale serve per una PT PMA?"
AT_ONCE = 16
FIRST_TOKEN_S = 0.88


@dataclass
class Times:
    """Milliseconds from the sending of a request to the end of its answer."""

    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)


async def llama(wire: Wire) -> None:
    """One answer."""
    await asyncio.sleep(FIRST_TOKEN_S)
    await llama_says("Dieci ", "miliardi.")(wire)


async def ask(http: httpx.AsyncClient, times: Times, *, after_s: float) -> None:
    """One request, whose time is noted."""
    await asyncio.sleep(after_s)
    started = time.perf_counter()
    response = await http.post("/chat", json={"message": QUESTION})
    elapsed = (time.perf_counter() - started) * 1000
    (times.served if response.status_code == 200 else times.refused).append(elapsed)


@asynccontextmanager
async def service(upstream: Upstream, data_dir: str) -> AsyncIterator[httpx.AsyncClient]:
    """`zantara serve` in a process of its own, ready; a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        **{name.upper(): value for name, value in upstream.settings.items()},
        "DATA_DIR": data_dir,
        "PORT": str(port),
        "MAX_CONCURRENT_REQUESTS": str(AT_ONCE),
    }
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("zantara"), "serve", env=environment, stderr=DEVNULL
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            async with asyncio.timeout(60):
                while not await _ready(http):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            yield http
    finally:
        process.terminate()
        await process.wait()


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/ready")).status_code == httpx.codes.OK
    except httpx.ConnectError:
        return False


async def measure(rounds: int) -> None:
    """Print the times at the limit and at twice the limit."""
    with tempfile.TemporaryDirectory() as data_dir:
        async with Upstream() as upstream, service(upstream, data_dir) as http:
            for times in (Times(), Times()):  # the first opens what is opened late
                upstream.llama(*[llama] * AT_ONCE * rounds)
                for _ in range(rounds):
                    await _wave(http, times, AT_ONCE)
            print_times(f"{AT_ONCE} at once, served", times.served)
            over = Times()
            upstream.llama(*[llama] * AT_ONCE * rounds)
            for _ in range(rounds):
                await _wave(http, over, 2 * AT_ONCE)
            print_times(f"{2 * AT_ONCE} at once, served", over.served)
            print_times(f"{2 * AT_ONCE} at once, refused (the bound is 20 ms)", over.refused)


async def _wave(http: httpx.AsyncClient, times: Times, size: int) -> None:
    # Spread over half of the first token's time: the whole of a wave is under way at once.
    gap = FIRST_TOKEN_S / 2 / size
    await asyncio.gather(*(ask(http, times, after_s=n * gap) for n in range(size)))


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
