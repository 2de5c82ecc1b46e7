"""The embedder shared by caller: what is queued, cut and given up."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from app.errors import TooMuchWaiting
from app.limits import caller_name
from app.retrieval import dense
from app.retrieval.embedder import Vectors
from app.retrieval.knowledge_base import KnowledgeBase
from app.settings import Settings
from tests.retrieval.material import EVERYONE, MadeUpEmbedder


class SteppingEmbedder(MadeUpEmbedder):
    """Embeds questions only when it may, and notes them."""

    def __init__(self) -> None:
        super().__init__(8)
        self.steps = threading.Semaphore(0)
        self.embedded: list[str] = []

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        if list(texts) != ["?"]:
            self.steps.acquire(timeout=60)
            self.embedded += texts
        return super().embed_queries(texts)


@pytest.fixture
def stepping(monkeypatch: pytest.MonkeyPatch) -> Iterator[SteppingEmbedder]:
    monkeypatch.setattr(dense, "SEARCH_TIMEOUT_S", 60.0)
    embedder = SteppingEmbedder()
    yield embedder
    embedder.steps.release(1_000)


async def until(condition: object) -> None:
    async with asyncio.timeout(30):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


def searching(base: KnowledgeBase, caller: str, text: str) -> asyncio.Task[object]:
    async def search() -> object:
        caller_name.set(caller)
        return await base.search(text, groups=EVERYONE)

    return asyncio.create_task(search())


async def test_another_callers_question_is_next_whatever_waits(
    settings: Settings, stepping: SteppingEmbedder
) -> None:
    async with KnowledgeBase.open(settings, stepping) as base:
        await base.wait_ready(60)
        greedy = [searching(base, "greedy", f"{n} {'long ' * 390}") for n in range(5)]
        queue = base._dense._embedding
        await until(lambda: queue._waiting_cost["greedy"] > 7_000)
        other = searching(base, "other", "short")
        await until(lambda: "other" in queue._waiting)
        stepping.steps.release(2)
        await other
        assert stepping.embedded[1] == "short"
        stepping.steps.release(4)
        await asyncio.gather(*greedy)


async def test_what_is_given_up_is_not_embedded(
    settings: Settings, stepping: SteppingEmbedder
) -> None:
    async with KnowledgeBase.open(settings, stepping) as base:
        await base.wait_ready(60)
        tasks = [searching(base, "greedy", f"{n} {'long ' * 390}") for n in range(5)]
        await until(lambda: base._dense._embedding._waiting_cost["greedy"] > 7_000)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        stepping.steps.release(100)
        await searching(base, "greedy", "after")
    # The one that ran ended; nothing of the others was begun.
    assert len(stepping.embedded) == 2


async def test_a_caller_with_too_many_questions_waiting_is_refused(
    settings: Settings, stepping: SteppingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "_ROOM_CHARACTERS", 3_000)
    async with KnowledgeBase.open(settings, stepping) as base:
        await base.wait_ready(60)
        tasks = [searching(base, "greedy", f"{n} {'long ' * 390}") for n in range(2)]
        await until(lambda: base._dense._embedding._waiting_cost["greedy"] > 1_000)
        with pytest.raises(TooMuchWaiting, match="too much of this caller's work"):
            await searching(base, "greedy", f"3 {'long ' * 390}")
        stepping.steps.release(100)
        await asyncio.gather(*tasks)
        await searching(base, "other", "short")
