"""What failing over costs: `python -m scripts.bench_fallback [TURNS]`.

Llama refuses connections and Haiku is played on loopback, so that what is left is
our own time. The circuit is off: every turn tries Llama anew. Turns that go over
to Haiku and turns that ask for Haiku alternate, against one running service.
"""

import asyncio
import logging
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx
import structlog

from app.llm.llama_scout_client import LlamaScoutClient
from tests.service import running_inside, settings_for, until_ready
from tests.upstream import Upstream, Wire, haiku_says

QUESTION = "Quanto capitale serve per una PT PMA?"
WARM_UP = 20


async def ask(http: httpx.AsyncClient, model: str) -> float:
    """Milliseconds to a whole answer of Haiku's."""
    started = time.perf_counter()
    response = await http.post("/chat", json={"message": QUESTION, "model": model})
    elapsed = (time.perf_counter() - started) * 1000
    assert response.json()["ai_used"] == "haiku", response.text
    return elapsed


async def leave(http: httpx.AsyncClient, upstream: Upstream) -> float:
    """Milliseconds from a caller's hanging up to the end of the call upstream."""
    called = asyncio.Event()

    async def silent(wire: Wire) -> None:
        called.set()
        await wire.hang()

    upstream.haiku(silent)
    asking = asyncio.create_task(ask(http, "haiku"))
    await called.wait()
    started = time.perf_counter()
    asking.cancel()
    await upstream.calls[-1].closed.wait()
    return (time.perf_counter() - started) * 1000


async def measure(turns: int) -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as data_dir, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        async with Upstream() as upstream:
            values = {
                **upstream.settings,
                "openrouter_base_url": f"http://127.0.0.1:{bound.getsockname()[1]}",
                "circuit_breaker": False,
            }
            async with running_inside(settings_for(Path(data_dir), **values)) as (http, client):
                be_quiet()
                await until_ready(http)
                await _measure(http, client, upstream, turns)


async def _measure(
    http: httpx.AsyncClient, client: LlamaScoutClient, upstream: Upstream, turns: int
) -> None:
    upstream.haiku(*[haiku_says("Dieci ", "miliardi.")] * 2 * (turns + WARM_UP))
    direct: list[float] = []
    over: list[float] = []
    for _ in range(turns + WARM_UP):
        direct.append(await ask(http, "haiku"))
        over.append(await ask(http, "auto"))
    left = [await leave(http, upstream) for _ in range(50)]
    print_times("Haiku, asked for", direct[WARM_UP:])
    print_times("Haiku, after a refused Llama", over[WARM_UP:])
    added = median(over[WARM_UP:]) - median(direct[WARM_UP:])
    print(f"added by failing over: {added:.2f} ms (median; the bound is 50 ms)")
    print_times("caller gone → call upstream closed", left)
    assert client.ledger.fallbacks == turns + WARM_UP


def print_times(what: str, milliseconds: list[float]) -> None:
    """One line: median and 95th percentile."""
    p95 = quantiles(milliseconds, n=20)[-1]
    print(f"{what}: median {median(milliseconds):.2f} ms, p95 {p95:.2f} ms")


def be_quiet() -> None:
    """Log nothing."""
    # Two lines of log a turn on a terminal would be measured too.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
