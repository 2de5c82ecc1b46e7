"""Three more loads: models that write as slowly as they do, a thousand streams, a refusal."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from bench.lanes import PIECES, Lane, Row, Visit, completion, percentile, side_by_side
from bench.load import load
from bench.processes import Server
from bench.targets import Targets

GAP_MS = 50
_OPENED_A_SECOND = 200
_HEALTH_EVERY_S = 0.1


async def refused(targets: Targets, turns: int) -> dict[str, Any]:
    """Time to Haiku's first piece: asked directly, through the service, and after Llama refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        nowhere = f"http://127.0.0.1:{bound.getsockname()[1]}"
        # Every turn tries Llama anew.
        async with targets.zantara(OPENROUTER_BASE_URL=nowhere, CIRCUIT_BREAKER="false") as server:
            path = "/v1/chat/completions"
            lanes = [
                Lane("direct", targets.upstream, "/v1/messages", completion),
                Lane("asked for", server, path, lambda q: {**completion(q), "model": "haiku"}),
                Lane("after a refusal", server, path, completion),
            ]
            rows = [Row(lane.name, streamed=True, at_once=1) for lane in lanes]
            for lane in lanes:
                await lane.server.settled()
                await load(lane.requests(stream=True), 1, least=20)
            for _ in range(4):
                for lane, row in zip(lanes, rows, strict=True):
                    came = await load(lane.requests(stream=True), 1, least=turns // 4)
                    row.visits.append(Visit(came, 0.0))
    found = {
        row.lane: {"first_p50_ms": round(row.first_ms(50), 2), "errors": len(row.errors)}
        for row in rows
    }
    print("Haiku's first piece:", found, flush=True)
    return found


async def unhurried(upstream: Server, lanes: Sequence[Lane]) -> list[dict[str, Any]]:
    """64 clients at once of a stand-in that writes a piece every 50 ms, spread over an answer."""
    print(f"a piece every {GAP_MS} ms:", flush=True)
    async with _slow(upstream):
        return await side_by_side(
            lanes,
            loads=[(True, 64)],
            rounds=2,
            seconds=8.0,
            opened_a_second=64 * 1000 / (PIECES * GAP_MS),
        )


async def many_open(upstream: Server, lane: Lane, streams: int) -> dict[str, Any]:
    """So many streams at once, from a stand-in that writes a piece every 50 ms."""
    pieces = int((streams / _OPENED_A_SECOND + 10) * 1000 / GAP_MS)
    slow = Lane(lane.name, lane.server, lane.path, lambda q: {**lane.body(q), "max_tokens": pieces})
    at_rest = lane.server.memory_mb()
    lane.server.forget_peak()
    cpu = lane.server.cpu_s()
    ended = asyncio.Event()
    watching = asyncio.create_task(_watch_health(lane.server, ended))
    try:
        async with _slow(upstream):
            came = await load(slow.requests(stream=True), streams, opened_a_second=_OPENED_A_SECOND)
    finally:
        ended.set()
        waited_ms = await watching
    good = came.good
    found = {
        "lane": lane.name,
        "streams": streams,
        "pieces": pieces,
        "errors": came.errors[:5],
        "failed": len(came.errors),
        "largest_gap_ms": round(max((a.gap_ms for a in good), default=float("nan")), 1),
        "gap_p99_ms": round(percentile([a.gap_ms for a in good], 99), 1),
        "first_p50_ms": round(percentile([a.first_ms for a in good], 50), 1),
        "first_p99_ms": round(percentile([a.first_ms for a in good], 99), 1),
        "health_slowest_ms": round(max(waited_ms), 1),
        "health_failed": waited_ms.count(float("inf")),
        "kb_per_stream": round((lane.server.peak_mb() - at_rest) * 1024 / streams),
        "cpu_us_per_piece": round((lane.server.cpu_s() - cpu) * 1e6 / (streams * pieces), 1),
        "generator_share": round(came.cpu_s / came.wall_s, 2),
    }
    print(f"{streams} open streams:", found, flush=True)
    return found


@asynccontextmanager
async def _slow(upstream: Server) -> AsyncIterator[None]:
    """So long a piece every 50 ms."""
    async with httpx.AsyncClient(base_url=upstream.url) as http:
        (await http.put("/gap", content=str(GAP_MS))).raise_for_status()
        try:
            yield
        finally:
            (await http.put("/gap", content="0")).raise_for_status()


async def _watch_health(server: Server, ended: asyncio.Event) -> list[float]:
    """How long each answer took, in milliseconds; infinitely where there was none."""
    waited_ms = []
    async with httpx.AsyncClient(timeout=30) as http:
        while not ended.is_set():
            began = time.perf_counter()
            try:
                # As a health check of a platform's: over a connection of its own.
                await http.get(f"{server.url}/health", headers={"connection": "close"})
                waited_ms.append((time.perf_counter() - began) * 1000)
            except httpx.HTTPError:
                waited_ms.append(float("inf"))
            await asyncio.sleep(_HEALTH_EVERY_S)
    return waited_ms
