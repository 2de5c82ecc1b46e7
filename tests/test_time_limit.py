import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from app.time_limit import TimeLimit

SOON_S = 0.05


@pytest.fixture
async def limit() -> AsyncIterator[TimeLimit]:
    with closing(TimeLimit()) as limit:
        yield limit


def clock() -> float:
    return asyncio.get_running_loop().time()


async def test_a_wait_ends_at_its_moment(limit: TimeLimit) -> None:
    began = clock()
    with pytest.raises(TimeoutError), limit.until(began + SOON_S):
        await asyncio.Event().wait()

    assert clock() - began >= SOON_S
    current = asyncio.current_task()
    assert current
    assert current.cancelling() == 0


async def test_what_comes_in_time_moves_the_limit_on(limit: TimeLimit) -> None:
    began = clock()
    while clock() < began + 4 * SOON_S:
        with limit.until(clock() + 100 * SOON_S):
            await asyncio.sleep(0)
    # Earlier than the timer that still runs.
    with pytest.raises(TimeoutError), limit.until(clock() + SOON_S):
        await asyncio.Event().wait()


async def test_what_is_done_between_two_waits_has_no_limit(limit: TimeLimit) -> None:
    with limit.until(clock() + SOON_S):
        await asyncio.sleep(0)
    await asyncio.sleep(2 * SOON_S)
    with limit.until(math.inf):
        await asyncio.sleep(2 * SOON_S)


async def test_the_limit_follows_its_waits_into_other_tasks(limit: TimeLimit) -> None:
    async def wait() -> None:
        with limit.until(clock() + SOON_S):
            await asyncio.Event().wait()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.create_task(wait())


async def test_who_is_cancelled_by_another_is_not_told_of_a_limit(limit: TimeLimit) -> None:
    waiting = asyncio.Event()

    async def wait() -> None:
        with limit.until(clock() + 1000):
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_by_another_as_the_limit_rings_stays_cancelled(
    limit: TimeLimit,
) -> None:
    async def wait() -> None:
        with limit.until(clock() + SOON_S):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task
