"""Rows 51 and 52: callers who leave."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from app.events import TextDelta
from app.llm.llama_scout_client import LlamaScoutClient
from tests.faults.breakages import HAIKU_API, LLAMA_API, said, sends, silent, step
from tests.faults.conftest import QUESTION, Service, outcomes, router
from tests.upstream import Upstream, hang, llama_says, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOON_S = 10.0
"""For a bound of 100 ms that a busy machine may stretch; `bench_fallback.py` prints the figure."""


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("spoken", [True, False], ids=["mid-answer", "before-the-first-word"])
@pytest.mark.parametrize("whose", ["llama", "haiku"])
async def test_row_51_a_caller_who_leaves_closes_the_call_upstream(
    whose: str, spoken: bool, streamed: bool, service: Service, upstream: Upstream
) -> None:
    reached = asyncio.Event()
    breakage = sends(said, then="hang") if spoken else silent

    async def waits(wire: object) -> None:
        reached.set()
        await step(breakage, LLAMA_API if whose == "llama" else HAIKU_API)(wire)  # type: ignore[arg-type]

    if whose == "haiku":
        upstream.llama(status(500))
        upstream.haiku(waits)
    else:
        upstream.llama(waits)
    async with httpx.AsyncClient(base_url=service.http.base_url) as leaving:
        body = {"message": QUESTION[0].content, "stream": streamed}
        heard = asyncio.Event()

        async def listen() -> None:
            async with leaving.stream("POST", "/chat", json=body) as response:
                async for _ in response.aiter_bytes():
                    heard.set()

        listening = asyncio.create_task(listen())
        await (heard if spoken and streamed else reached).wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    left = time.monotonic()
    await asyncio.wait_for(upstream.calls[-1].closed.wait(), SOON_S)
    assert time.monotonic() - left < SOON_S
    await service.settled(upstream)

    ai = "llama-scout" if whose == "llama" else "haiku"
    assert outcomes(service.entries)[ai, "cancelled"] == 1
    failed = [e for e in service.entries if e.outcome not in ("cancelled", "server")]
    assert not failed
    assert not [entry for entry in service.logs if entry["log_level"] == "error"]
    # Both were paid for in part, and say that it is an estimate.
    assert service.entries[-1].usage.estimated


async def test_row_52_after_a_thousand_callers_who_left_the_pool_still_serves(
    upstream: Upstream,
) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def leave(client: LlamaScoutClient) -> None:
        async with aclosing(client.stream(QUESTION)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    return

    tasks, before = len(asyncio.all_tasks()), descriptors()
    spoken = step(sends(said, then="hang"), LLAMA_API)
    async with router(upstream, first_content_timeout_s=60) as client:
        for batch in range(50):
            in_mid_answer = bool(batch % 2)
            upstream.llama(*[spoken if in_mid_answer else hang] * 20)
            leaving = [asyncio.create_task(leave(client)) for _ in range(20)]
            async with asyncio.timeout(30):
                while len(upstream.llama_calls) < 20 * (batch + 1):
                    await asyncio.sleep(0.001)
            if not in_mid_answer:
                for task in leaving:
                    task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
        upstream.llama(*[llama_says("Eccomi.")] * 30)

        answers = await asyncio.gather(*(client.chat_async(QUESTION) for _ in range(30)))

        assert {answer.text for answer in answers} == {"Eccomi."}
        assert client.ledger.outcomes == {
            ("llama-scout", "cancelled"): 1000,
            ("llama-scout", "success"): 30,
        }
    async with asyncio.timeout(30):
        # The process opens a few of its own meanwhile; a thousand callers leave none.
        while (
            upstream.connections or len(asyncio.all_tasks()) > tasks or descriptors() > before + 10
        ):
            await asyncio.sleep(0.005)
