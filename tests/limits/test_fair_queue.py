"""Properties of fair queueing, in virtual time: no clock and no thread but where they are named."""

import asyncio
import threading
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import TooMuchWaiting
from app.limits import FairQueue

CALLERS = ("a", "b", "c")
COSTS = st.lists(st.integers(1, 20), min_size=1, max_size=30)


async def order_of(work: dict[str, list[int]]) -> list[tuple[str, int]]:
    """In which order slices are granted that all wait at the same time."""
    queue = FairQueue("done", capacity=1, room=10_000)
    order: list[tuple[str, int]] = []

    async def slice_of(caller: str, cost: int) -> None:
        async with queue.turn(caller, cost):
            order.append((caller, cost))
            await asyncio.sleep(0)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, queue.turn("first", 1):
        for caller, costs in work.items():
            for cost in costs:
                tasks.create_task(slice_of(caller, cost))
        await asyncio.sleep(0)
        assert order == []
    queue.close()
    return order


@given(st.fixed_dictionaries(dict.fromkeys(CALLERS, COSTS)))
def test_while_callers_wait_their_shares_differ_by_one_slice_at_the_most(
    work: dict[str, list[int]],
) -> None:
    order = asyncio.run(order_of(work))
    left = {caller: len(costs) for caller, costs in work.items()}
    served: Counter[str] = Counter()
    dearest = max(max(costs) for costs in work.values())
    for caller, cost in order:
        served[caller] += cost
        left[caller] -= 1
        if all(left.values()):
            assert max(served.values()) - min(served[c] for c in CALLERS) <= 2 * dearest
    assert sorted(order) == sorted((c, cost) for c, costs in work.items() for cost in costs)


@given(COSTS)
def test_a_callers_own_work_is_done_in_its_order(costs: list[int]) -> None:
    assert asyncio.run(order_of({"a": costs})) == [("a", cost) for cost in costs]


async def test_who_comes_later_does_not_wait_for_what_another_queued_before() -> None:
    order = await order_of({"greedy": [10] * 20, "late": [1]})
    assert order.index(("late", 1)) <= 1


async def test_idle_time_saves_up_no_claim() -> None:
    queue = FairQueue("done", capacity=1, room=10_000)
    for _ in range(50):
        async with queue.turn("busy", 10):
            pass
    order: list[str] = []

    async def slice_of(caller: str) -> None:
        async with queue.turn(caller, 10):
            order.append(caller)
            await asyncio.sleep(0)

    await asyncio.gather(*(slice_of(c) for c in ["busy"] * 5 + ["new"] * 5))
    assert Counter(order[:4]) == {"busy": 2, "new": 2}
    queue.close()


async def test_a_caller_with_too_much_waiting_is_refused_and_others_are_not() -> None:
    queue = FairQueue("embedded", capacity=1, room=10)
    async with queue.turn("a", 1):
        waiting = [asyncio.create_task(_turn(queue, "a", cost)) for cost in (100,)]
        await asyncio.sleep(0)
        with pytest.raises(TooMuchWaiting, match="embedded"):
            await _turn(queue, "a", 1)
        waiting.append(asyncio.create_task(_turn(queue, "b", 10)))
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    queue.close()


async def _turn(queue: FairQueue, caller: str, cost: float) -> None:
    async with queue.turn(caller, cost):
        pass


async def test_who_has_nothing_running_waits_for_nobodys_long_work() -> None:
    queue = FairQueue("read", capacity=1, reserve=1, room=100)
    async with queue.turn("a", 1):
        second = asyncio.create_task(_turn(queue, "a", 1))
        async with asyncio.timeout(10), queue.turn("b", 1):
            third = asyncio.create_task(_turn(queue, "c", 1))
            await asyncio.sleep(0)
            assert not second.done()
            assert not third.done()
    await asyncio.gather(second, third)
    queue.close()


@given(st.lists(st.tuples(st.sampled_from(CALLERS), st.booleans()), min_size=1, max_size=30))
def test_what_is_cancelled_is_never_done_and_keeps_no_turn(
    work: list[tuple[str, bool]],
) -> None:
    async def run() -> None:
        queue = FairQueue("done", capacity=2, room=10_000)
        done: list[int] = []

        async def slice_of(number: int, caller: str) -> None:
            async with queue.turn(caller, 1):
                await asyncio.sleep(0)
                done.append(number)

        tasks = [asyncio.create_task(slice_of(n, c)) for n, (c, _) in enumerate(work)]
        await asyncio.sleep(0)
        for task, (_, cancelled) in zip(tasks, work, strict=True):
            if cancelled:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(done) == [n for n, (_, cancelled) in enumerate(work) if not cancelled]
        async with asyncio.timeout(10), queue.turn("x", 1), queue.turn("y", 1):
            pass
        assert not queue._waiting
        assert not queue._running
        queue.close()

    asyncio.run(run())


async def test_work_in_a_thread_that_is_given_up_keeps_its_turn_until_it_ends() -> None:
    queue = FairQueue("done", capacity=1, room=100)
    go_on, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10)

    never = []
    running = asyncio.create_task(queue.run("a", 1, work))
    waiting = asyncio.create_task(queue.run("a", 1, lambda: never.append(1)))
    await asyncio.to_thread(begun.wait, 10)
    for task in (running, waiting):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    after = asyncio.create_task(queue.run("b", 1, lambda: go_on.is_set()))
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(10):
        assert await after
    assert not never
    queue.close()


async def test_what_fails_in_a_thread_fails_for_its_caller_and_the_next_has_its_turn() -> None:
    queue = FairQueue("done", capacity=1, room=100)
    with pytest.raises(ZeroDivisionError):
        await queue.run("a", 1, lambda: 1 // 0)
    assert await queue.run("a", 1, lambda: 1) == 1
    queue.close()
