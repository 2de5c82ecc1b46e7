import json

from hypothesis import given
from hypothesis import strategies as st

from app.wire.sse import frame

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(ANY_TEXT)
def test_any_text_is_one_data_line(text: str) -> None:
    sent = frame("delta", {"text": text})

    name, data, *rest = sent.decode().splitlines()
    assert name == "event: delta"
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
    assert rest == [""]
