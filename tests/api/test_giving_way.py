"""Answers that have begun, and those that have not."""

import asyncio
import time

import pytest

from app.api import giving_way
from app.api.admission import Admission
from app.api.giving_way import FEW, GivingWay

MUCH = Admission(limit=1000, under_way=FEW + 1)


class Busy:
    """Work that fills every turn of the loop until it is ended."""

    def __init__(self) -> None:
        self.turns = 0
        self.ends_after: int | None = None
        self._work()

    def _work(self) -> None:
        self.turns += 1
        time.sleep(2 * giving_way.IDLE_S)
        if self.ends_after is None or self.turns < self.ends_after:
            asyncio.get_running_loop().call_soon(self._work)


async def test_where_little_is_under_way_nobody_waits() -> None:
    busy = Busy()
    await GivingWay(Admission(limit=1000, under_way=FEW)).wait()
    assert busy.turns == 1
    busy.ends_after = 0


async def test_they_wait_while_there_is_other_work_and_go_on_in_the_order_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(giving_way, "LONGEST_S", 60.0)
    busy, giving, order = Busy(), GivingWay(MUCH), list[tuple[int, int]]()
    busy.ends_after = 100

    async def answer(number: int) -> None:
        await giving.wait()
        order.append((number, busy.turns))

    async with asyncio.timeout(60):
        await asyncio.gather(*(answer(n) for n in range(5)))
    assert order == [(n, 100) for n in range(5)]


async def test_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving_way, "LONGEST_S", 60.0)
    giving = GivingWay(MUCH)
    going_on = 0

    async def answer() -> None:
        nonlocal going_on
        await giving.wait()
        going_on += 1
        assert going_on == 1
        # What it does takes this turn: none goes on in the next.
        time.sleep(2 * giving_way.IDLE_S)  # noqa: ASYNC251
        await asyncio.sleep(0)
        going_on -= 1

    async with asyncio.timeout(60):
        await asyncio.gather(*(answer() for _ in range(5)))


async def test_however_much_there_is_to_do_none_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(giving_way, "LONGEST_S", 0.01)
    busy, giving = Busy(), GivingWay(MUCH)
    async with asyncio.timeout(60):
        await asyncio.gather(*(giving.wait() for _ in range(5)))
    assert busy.turns > 1
    busy.ends_after = 0


async def test_who_has_left_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving_way, "LONGEST_S", 60.0)
    giving = GivingWay(MUCH)
    leaving, staying = (asyncio.create_task(giving.wait()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(60):
        await staying
        # And who comes after all have gone on.
        await giving.wait()
    assert leaving.cancelled()
