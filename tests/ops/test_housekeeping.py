import asyncio

from app.errors import StorageFailed
from app.ops.housekeeping import Chore, in_thread, keeping_house


async def test_chores_are_done_at_the_start_and_again_whatever_fails() -> None:
    done = {"once": 0, "failing": 0}
    again = asyncio.Event()
    loop = asyncio.get_running_loop()

    def once() -> None:
        done["once"] += 1

    def failing() -> None:
        done["failing"] += 1
        if done["failing"] == 3:
            loop.call_soon_threadsafe(again.set)
        raise StorageFailed("the disk is full")

    async with keeping_house(
        Chore("once", 3600.0, in_thread(once)), Chore("failing", 0.001, in_thread(failing))
    ):
        async with asyncio.timeout(10):
            await again.wait()

    assert done["once"] == 1
