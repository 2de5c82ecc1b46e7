"""Hedging: a second call while the first is late with its content."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from app.errors import FailureKind, ProviderError
from app.events import LLMEvent

Events = AsyncGenerator[LLMEvent]


@asynccontextmanager
async def hedged(
    primary: Events,
    backup: Callable[[], Events | None],
    after_s: float,
    hedge_lost: Callable[[], None],
) -> AsyncIterator[AsyncIterator[LLMEvent]]:
    """Open the events of the call that has content first; the other is closed.

    Args:
        primary: The first call.
        backup: Starts the second call, or declines with None.
        after_s: Seconds without content after which `backup` is called.
        hedge_lost: Called when the second call is first.

    Raises:
        ProviderError: All calls that were started have failed.
    """
    racers = {asyncio.create_task(_next(primary)): primary}
    try:
        done, _ = await asyncio.wait(racers, timeout=after_s)
        if not done and (second := backup()) is not None:
            racers[asyncio.create_task(_next(second))] = second
        first_event, winner = await _first_to_speak(racers)
        if winner is not primary:
            hedge_lost()
        for task, events in racers.items():
            if events is not winner:
                await _close(task, events)
        yield _Winner(first_event, winner)
    finally:
        for task, events in racers.items():
            await _close(task, events)


class _Winner:
    """The first event, which the race has read, and then the others."""

    def __init__(self, first_event: LLMEvent, others: Events) -> None:
        self._first_event: LLMEvent | None = first_event
        self._others = others

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LLMEvent:
        if first_event := self._first_event:
            self._first_event = None
            return first_event
        return await anext(self._others)


async def _first_to_speak(
    racers: dict[asyncio.Task[LLMEvent], Events],
) -> tuple[LLMEvent, Events]:
    waiting = set(racers)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            if not isinstance(error, ProviderError):
                return task.result(), racers[task]
            if error.kind is FailureKind.CONTENT_FILTER:
                raise error  # a refused prompt is not sent to another model
        if not waiting:
            raise next(error for task in done if (error := task.exception()))


async def _close(task: asyncio.Task[LLMEvent], events: Events) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await events.aclose()


async def _next(events: Events) -> LLMEvent:
    return await anext(events)
