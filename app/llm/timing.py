"""A provider's events under the time limits."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Self

from app.errors import FailureKind, ProviderError
from app.events import TextDelta
from app.llm.provider import (
    CHARACTERS_PER_TOKEN,
    AwaitingUsage,
    Completed,
    Content,
    ProviderEvent,
)

PROMPT_TOKENS_PER_SECOND = 10_000
"""What a model reads in a second before its first word, on the slower of the APIs' machines."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds: to the first content, between contents, and for the complete answer."""

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


class TimedStream:
    """A provider's events under the time limits, from the first real content to `Completed`.

    Text that is invisible is not content: it is held back, does not move the timers, and is
    dropped when nothing else follows. The time that the caller is busy with an event is not
    the provider's: `deadline` moves on with it. `AwaitingUsage` is not passed on.

    Args:
        stream: The provider's events; `aclose` closes it.
        deadline: The end of the total limit, in the event loop's time.
        max_characters: The most text that is believed to be an answer.

    Raises:
        ProviderError: By `anext`: a limit has passed, or the text is too long.
    """

    def __init__(
        self,
        stream: AsyncGenerator[ProviderEvent],
        limits: TimeLimits,
        deadline: float,
        max_characters: int,
    ) -> None:
        self._stream = stream
        self._idle_s = limits.idle_s
        self._deadline = deadline
        self._max_characters = max_characters
        self._clock = asyncio.get_running_loop().time
        first_content = self._clock() + limits.first_content_s
        self._limit = (first_content, FailureKind.TIMEOUT_FIRST_CONTENT)
        self._held_back: list[str] = []
        self._characters = 0
        self._started = self._awaiting_usage = self._completed = False
        self._passed_on: float | None = None
        """When the last event was passed on, None once its time is taken off."""
        self._visible = False

    def __aiter__(self) -> Self:
        """Iterate once."""
        return self

    async def __anext__(self) -> Content:
        """Return the next event."""
        self._resume()
        while not self._completed:
            event = await self._next()
            if isinstance(event, AwaitingUsage):
                self._awaiting_usage = True
                continue
            if isinstance(event, Completed):
                self._completed = True
                return event
            self._visible = True
            if isinstance(event, TextDelta):
                self._count(event.text)
                self._visible = not _invisible(event.text)
                if not self._started:
                    self._held_back.append(event.text)
                    if not self._visible:
                        continue
                    event = TextDelta("".join(self._held_back))
            self._started = True
            self._passed_on = self._clock()
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the provider's stream."""
        await self._stream.aclose()

    async def _next(self) -> ProviderEvent:
        until, kind = min(self._limit, (self._deadline, FailureKind.TIMEOUT_TOTAL))
        try:
            async with asyncio.timeout_at(None if self._awaiting_usage else until):
                return await anext(self._stream)
        except TimeoutError:
            raise ProviderError(kind, f"{kind} limit passed") from None
        except StopAsyncIteration:
            raise RuntimeError("a provider's stream ends with Completed or an error") from None

    def _resume(self) -> None:
        """Take the caller's time off the limits, and start the limit for the next content."""
        if self._passed_on is None:
            return
        now = self._clock()
        waited = now - self._passed_on
        self._passed_on = None
        self._deadline += waited
        # Invisible text does not end the silence that it is a part of.
        until = now + self._idle_s if self._visible else self._limit[0] + waited
        self._limit = (until, FailureKind.TIMEOUT_IDLE)

    def _count(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > self._max_characters:
            raise ProviderError(FailureKind.PROTOCOL, "a longer answer than was asked for")


def _invisible(text: str) -> bool:
    """Whether `text` is all white space, zero-width marks and control characters."""
    return not any(c.isprintable() and not c.isspace() for c in text)
