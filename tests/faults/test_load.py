"""Row 64: twice the load that the service takes."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.replies import Reply, ask
from tests.service import running_inside, settings_for, until_ready
from tests.upstream import Upstream, Wire, llama_says

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT_ONCE = 8


async def test_row_64_the_half_that_is_too_much_is_refused_before_the_other_is_answered(
    data_dir: Path, upstream: Upstream
) -> None:
    gate = asyncio.Event()

    async def gated(wire: Wire) -> None:
        await gate.wait()
        await llama_says("Dieci ", "miliardi.")(wire)

    settings = settings_for(
        data_dir, **upstream.settings, max_concurrent_requests=AT_ONCE, first_content_timeout_s=60
    )
    async with running_inside(settings) as (http, client):
        await until_ready(http)
        for _ in range(2):  # the places that the first wave took are free for the second
            gate.clear()
            upstream.calls.clear()
            upstream.llama(*[gated] * AT_ONCE)
            asking = [
                asyncio.create_task(ask(http, streamed=bool(number % 2)))
                for number in range(2 * AT_ONCE)
            ]
            async with asyncio.timeout(60):
                while len(upstream.calls) + len(_answered(asking)) < 2 * AT_ONCE:
                    await asyncio.sleep(0.005)
            refused = _answered(asking)
            gate.set()
            served = [reply for reply in await asyncio.gather(*asking) if reply not in refused]

            assert [reply.status for reply in refused] == [503] * AT_ONCE
            assert {reply.headers["retry-after"] for reply in refused} == {"1"}
            assert {(reply.text, reply.body["ai_used"]) for reply in served} == {
                ("Dieci miliardi.", "llama-scout")
            }
        # What is refused costs nothing and counts nowhere.
        assert client.ledger.turns == 2 * AT_ONCE
        assert client.ledger.outcomes == {("llama-scout", "success"): 2 * AT_ONCE}


def _answered(asking: list[asyncio.Task[Reply]]) -> list[Reply]:
    return [task.result() for task in asking if task.done()]
