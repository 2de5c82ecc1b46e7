from collections.abc import AsyncGenerator

from app.errors import FailureKind
from app.events import Event, Failed, RouteChosen, TextDelta
from app.wire.openai import chunks


async def test_an_answer_that_broke_off_is_not_called_done() -> None:
    async def breaks_off() -> AsyncGenerator[Event]:
        yield RouteChosen("llama-scout", "scout", "openrouter", None)
        yield TextDelta("Oltre dieci ")
        yield Failed(FailureKind.PROTOCOL, "the stream was cut", "Oltre dieci ")

    stream = chunks(breaks_off(), request_id="r", created=0, model="zantara", include_usage=True)
    frames = [frame async for frame in stream]

    assert b'"error"' in frames[-1]
    assert not any(b"[DONE]" in frame for frame in frames)
