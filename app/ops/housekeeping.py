"""Work that the clock starts: what was kept for long enough is purged, whoever calls or not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import structlog

from app.errors import StorageFailed

logger = structlog.get_logger(__name__)


class Chore(NamedTuple):
    """`work` is done at the start and again `every_s` seconds after it has ended."""

    name: str
    every_s: float
    work: Callable[[], Awaitable[object]]


def in_thread(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    """The same work, in a thread."""
    return partial(asyncio.to_thread, work)


@asynccontextmanager
async def keeping_house(*chores: Chore) -> AsyncIterator[None]:
    """Do the chores for the length of the block; one that fails is logged and tried again."""
    tasks = [asyncio.create_task(_again_and_again(chore)) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(chore: Chore) -> None:
    while True:
        try:
            await chore.work()
        except (StorageFailed, sqlite3.Error, OSError) as error:
            logger.warning(f"{chore.name}: will be tried again", reason=str(error))
        await asyncio.sleep(chore.every_s)
