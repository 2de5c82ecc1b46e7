"""Rows 25 and 36, and bodies without end: what a model's API sends does not fill the memory."""

from pathlib import Path

import pytest

from app.errors import ZantaraError
from tests.faults.breakages import (
    HAIKU_API,
    LLAMA_API,
    Breakage,
    endless_body,
    for_ever,
    gzip_bomb,
    line_of,
    step,
)
from tests.faults.conftest import QUESTION, router
from tests.upstream import Upstream, haiku_says, llama_says

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOUND_MB = 20


def flood_of(character: str) -> Breakage:
    """Pieces of it as fast as they are read."""
    return for_ever(lambda api: api.stream(*[api.piece(character * 14_000)] * 20), pause_s=0)


def forget_the_peak() -> None:
    """Linux: 5 resets the peak of the resident memory (man 5 proc, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mb(of: str) -> float:
    """`VmRSS` as it is now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(of)) / 1024


@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param(gzip_bomb(200), id="25-bomb"),
        pytest.param(gzip_bomb(500), id="25-bomb-as-error"),
        pytest.param(line_of(50), id="36-line"),
        pytest.param(endless_body(200), id="endless"),
        pytest.param(endless_body(429), id="endless-error"),
        pytest.param(endless_body(200, "text/event-stream"), id="endless-stream"),
        pytest.param(flood_of(" "), id="flood-of-white-space"),
        pytest.param(flood_of("x"), id="flood-of-text"),
    ],
)
async def test_nothing_fills_the_memory(breakage: Breakage, upstream: Upstream) -> None:
    async with router(upstream, first_content_timeout_s=30) as client:
        upstream.llama(llama_says("Llama."))
        upstream.haiku(haiku_says("Haiku."))
        await client.chat_async(QUESTION)
        await client.chat_async(QUESTION, model="haiku")  # all that is loaded late is loaded now
        upstream.llama(step(breakage, LLAMA_API))
        upstream.haiku(*[step(breakage, HAIKU_API)] * 2)

        forget_the_peak()
        before = memory_mb("VmRSS")
        with pytest.raises(ZantaraError):
            await client.chat_async(QUESTION)

        assert memory_mb("VmHWM") - before < BOUND_MB
        upstream.clear()  # how often Haiku is asked again is the matrix's business


@pytest.mark.parametrize("breakage", [gzip_bomb(200), endless_body(200)], ids=["bomb", "endless"])
async def test_the_description_of_a_key_neither(
    breakage: Breakage, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with router(upstream) as client:
        sides = (client.llama, client.haiku)
        for side in sides:
            assert side is not None
            await side.provider.check_key()
        monkeypatch.setattr(upstream, "openrouter_key", step(breakage, LLAMA_API))
        monkeypatch.setattr(upstream, "anthropic_key", step(breakage, HAIKU_API))

        forget_the_peak()
        before = memory_mb("VmRSS")
        for side in sides:
            assert side is not None
            assert await side.provider.check_key() != "rejected"

        assert memory_mb("VmHWM") - before < BOUND_MB
