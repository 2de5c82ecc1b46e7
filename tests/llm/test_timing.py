import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from app.errors import FailureKind, ProviderError
from app.events import FinishReason, TextDelta, ToolCall
from app.llm.provider import Completed, ProviderEvent, ToolCallDelta
from app.llm.timing import TimedStream, TimeLimits

LIMITS = TimeLimits(first_content_s=0.05, idle_s=30, total_s=30)
CALL = ToolCall("toolu_1", "weather")
DONE = Completed(FinishReason.TOOL_CALLS)


async def passed_on(stream: AsyncGenerator[ProviderEvent]) -> list[object]:
    deadline = asyncio.get_running_loop().time() + 30
    return [event async for event in TimedStream(stream, LIMITS, deadline, 100)]


async def test_a_tool_call_that_takes_long_to_write_is_no_silence() -> None:
    async def writes_on() -> AsyncGenerator[ProviderEvent]:
        yield ToolCallDelta()
        await asyncio.sleep(LIMITS.first_content_s * 3)
        yield CALL
        yield DONE

    assert await passed_on(writes_on()) == [ToolCallDelta(), CALL, DONE]


async def test_white_space_before_the_first_word_is_part_of_the_answer() -> None:
    async def indents() -> AsyncGenerator[ProviderEvent]:
        yield TextDelta("\n")
        yield TextDelta("    codice")
        yield DONE

    assert await passed_on(indents()) == [TextDelta("\n    codice"), DONE]


async def test_a_tool_call_that_never_begins_is_one() -> None:
    async def says_nothing() -> AsyncGenerator[ProviderEvent]:
        await asyncio.sleep(LIMITS.first_content_s * 3)
        yield CALL

    with pytest.raises(ProviderError) as caught:
        await passed_on(says_nothing())

    assert caught.value.kind is FailureKind.TIMEOUT_FIRST_CONTENT


async def test_white_space_before_the_first_word_is_kept_with_it() -> None:
    async def begins_with_a_list() -> AsyncGenerator[ProviderEvent]:
        for text in ("\n", "  ", "- uno", " due"):
            yield TextDelta(text)
        yield DONE

    said = [TextDelta("\n  - uno"), TextDelta(" due"), DONE]
    assert await passed_on(begins_with_a_list()) == said


@pytest.mark.parametrize("text", ["\u200b\u200b", "\ufeff", "\x00", " \n\t\u2060"])
async def test_what_cannot_be_seen_is_no_content(text: str) -> None:
    async def blank() -> AsyncGenerator[ProviderEvent]:
        yield TextDelta(text)
        yield DONE

    assert await passed_on(blank()) == [DONE]


async def test_the_time_that_a_caller_takes_is_not_the_providers() -> None:
    async def speaks() -> AsyncGenerator[ProviderEvent]:
        for _ in range(3):
            yield TextDelta("x")
            await asyncio.sleep(0.01)  # a limit that has passed ends a wait, and nothing else
        yield DONE

    limits = TimeLimits(first_content_s=30, idle_s=30, total_s=30)
    deadline = asyncio.get_running_loop().time() + 1
    seen = 0
    async for _ in TimedStream(speaks(), limits, deadline, 100):
        seen += 1
        await asyncio.sleep(0.6)

    assert seen == 4


async def test_white_space_after_the_first_word_is_passed_on_and_is_still_a_silence() -> None:
    async def trails_off() -> AsyncGenerator[ProviderEvent]:
        yield TextDelta("uno")
        while True:
            yield TextDelta(" ")
            await asyncio.sleep(0.01)

    limits = TimeLimits(first_content_s=30, idle_s=0.5, total_s=30)
    stream = TimedStream(trails_off(), limits, asyncio.get_running_loop().time() + 30, 100_000)
    async with aclosing(stream):
        assert [await anext(stream), await anext(stream)] == [TextDelta("uno"), TextDelta(" ")]
        with pytest.raises(ProviderError) as caught:
            while True:
                await anext(stream)

    assert caught.value.kind is FailureKind.TIMEOUT_IDLE
