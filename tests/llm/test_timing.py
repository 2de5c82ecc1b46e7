import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.errors import FailureKind, ProviderError
from app.events import FinishReason, ToolCall
from app.llm.provider import Completed, ProviderEvent, ToolCallGrows
from app.llm.timing import TimeLimits, timed

LIMITS = TimeLimits(first_content_s=0.05, idle_s=30, total_s=30)
CALL = ToolCall("toolu_1", "weather")
DONE = Completed(FinishReason.TOOL_CALLS)


async def passed_on(stream: AsyncGenerator[ProviderEvent]) -> list[object]:
    deadline = asyncio.get_running_loop().time() + 30
    return [event async for event in timed(stream, LIMITS, deadline)]


async def test_a_tool_call_that_takes_long_to_write_is_no_silence() -> None:
    async def writes_on() -> AsyncGenerator[ProviderEvent]:
        yield ToolCallGrows()
        await asyncio.sleep(LIMITS.first_content_s * 3)
        yield CALL
        yield DONE

    assert await passed_on(writes_on()) == [ToolCallGrows(), CALL, DONE]


async def test_a_tool_call_that_never_begins_is_one() -> None:
    async def says_nothing() -> AsyncGenerator[ProviderEvent]:
        await asyncio.sleep(LIMITS.first_content_s * 3)
        yield CALL

    with pytest.raises(ProviderError) as caught:
        await passed_on(says_nothing())

    assert caught.value.kind is FailureKind.TIMEOUT_FIRST_CONTENT
