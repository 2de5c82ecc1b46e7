"""A provider's events under the time limits."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from app.errors import FailureKind, ProviderError
from app.events import TextDelta, ToolCall
from app.llm.provider import Completed, Ending, ProviderEvent, ToolCallGrows


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds: to the first content, between contents, and for the whole answer."""

    first_content_s: float = 6.0
    idle_s: float = 10.0
    total_s: float = 120.0


async def timed(
    stream: AsyncGenerator[ProviderEvent],
    limits: TimeLimits,
    deadline: float,
) -> AsyncGenerator[TextDelta | ToolCallGrows | ToolCall | Completed]:
    """Pass on `stream`'s events, from the first real content to `Completed`.

    White space alone is not content: it is held back, does not move the timers,
    and is dropped when nothing else follows. `deadline` is in the loop's time.
    `Ending` is not passed on. Raises `ProviderError` for a limit that is passed.
    """
    clock = asyncio.get_running_loop().time
    limit = (clock() + limits.first_content_s, FailureKind.TIMEOUT_FIRST_CONTENT)
    held_back = ""
    started = ending = False
    async with aclosing(stream):
        while True:
            until, kind = min(limit, (deadline, FailureKind.TIMEOUT_TOTAL))
            try:
                async with asyncio.timeout_at(None if ending else until):
                    event = await anext(stream)
            except TimeoutError:
                raise ProviderError(kind, f"{kind} limit passed") from None
            if isinstance(event, Ending):
                ending = True
                continue
            if isinstance(event, Completed):
                yield event
                return
            if isinstance(event, TextDelta) and not started:
                held_back += event.text
                if held_back.isspace():
                    continue
                event = TextDelta(held_back)
            started = True
            yield event
            limit = (clock() + limits.idle_s, FailureKind.TIMEOUT_IDLE)
