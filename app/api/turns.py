"""A turn's events on their way into either form of answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.events import Event, Retrieved, RouteChosen
from app.wire.answer import AnswerFold


async def folded(events: AsyncGenerator[Event]) -> AnswerFold:
    """All of a turn."""
    fold = AnswerFold()
    async with aclosing(events):
        async for event in events:
            fold.take(event)
    return fold


async def up_to_content(events: AsyncGenerator[Event]) -> list[Event]:
    """The events up to the first content, so that a failure before it has a true status code."""
    taken: list[Event] = []
    async for event in events:
        taken.append(event)
        if not isinstance(event, Retrieved | RouteChosen):
            break
    return taken
