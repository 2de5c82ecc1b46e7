"""A provider's events under the time limits."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from app.errors import FailureKind, ProviderError
from app.events import TextDelta, ToolCall
from app.llm.provider import (
    CHARACTERS_PER_TOKEN,
    AwaitingUsage,
    Completed,
    ProviderEvent,
    ToolCallDelta,
)

PROMPT_TOKENS_PER_SECOND = 10_000
"""What a model reads in a second before its first word, on the slower of the APIs' machines."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds: to the first content, between contents, and for the whole answer."""

    first_content_s: float = 6.0
    idle_s: float = 10.0
    total_s: float = 120.0

    def for_prompt(self, characters: int) -> "TimeLimits":
        """The limits for a prompt of so many characters: a longer one is read for longer."""
        reading_s = characters / CHARACTERS_PER_TOKEN / PROMPT_TOKENS_PER_SECOND
        return replace(self, first_content_s=self.first_content_s + reading_s)

    def after_waiting(self, seconds: float) -> "TimeLimits":
        """The limits once `seconds` of the wait for the first content are used."""
        return replace(self, first_content_s=max(0.0, self.first_content_s - seconds))


async def timed(
    stream: AsyncGenerator[ProviderEvent],
    limits: TimeLimits,
    deadline: float,
    max_characters: int,
) -> AsyncGenerator[TextDelta | ToolCallDelta | ToolCall | Completed]:
    """Pass on `stream`'s events, from the first real content to `Completed`.

    What cannot be seen is not content: it is held back, does not move the timers,
    and is dropped when nothing else follows. `deadline` is in the loop's time, and
    moves on while the caller is busy with an event: that is not the provider's time.
    `AwaitingUsage` is not passed on. Raises `ProviderError` for a limit that is passed, and
    for a text of more than `max_characters`.
    """
    clock = asyncio.get_running_loop().time
    limit = (clock() + limits.first_content_s, FailureKind.TIMEOUT_FIRST_CONTENT)
    held_back: list[str] = []
    characters = 0
    started = awaiting_usage = False
    try:
        while True:
            until, kind = min(limit, (deadline, FailureKind.TIMEOUT_TOTAL))
            try:
                async with asyncio.timeout_at(None if awaiting_usage else until):
                    event = await anext(stream)
            except TimeoutError:
                raise ProviderError(kind, f"{kind} limit passed") from None
            seen = True
            if isinstance(event, TextDelta):
                characters += len(event.text)
                if characters > max_characters:
                    raise ProviderError(FailureKind.PROTOCOL, "a longer answer than was asked for")
                seen = not _invisible(event.text)
                if not started:
                    held_back.append(event.text)
                    if not seen:
                        continue
                    event = TextDelta("".join(held_back))
            elif isinstance(event, AwaitingUsage):
                awaiting_usage = True
                continue
            elif isinstance(event, Completed):
                yield event
                return
            started = True
            passed_on = clock()
            yield event
            waited = clock() - passed_on
            deadline += waited
            # What is not seen does not hold up the silence after content, of which it is a part.
            until = clock() + limits.idle_s if seen else limit[0] + waited
            limit = (until, FailureKind.TIMEOUT_IDLE)
    finally:
        await stream.aclose()


def _invisible(text: str) -> bool:
    """Whether it is all white space, zero-width marks and control characters."""
    return not any(c.isprintable() and not c.isspace() for c in text)
