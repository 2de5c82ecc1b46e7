from app.errors import FailureKind
from app.events import Failed, RouteChosen, TextDelta
from app.wire.openai import chunks


def test_an_answer_that_broke_off_is_not_called_done() -> None:
    encode = chunks(request_id="r", created=0, model="zantara", include_usage=True)
    frames = [
        encode(RouteChosen("llama-scout", "scout", "openrouter", None)),
        encode(TextDelta("Oltre dieci ")),
        encode(Failed(FailureKind.PROTOCOL, "the stream was cut", "Oltre dieci ")),
    ]

    assert b'"error"' in frames[-1]
    assert not any(b"[DONE]" in frame for frame in frames)
