from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FailureKind, ProviderError
from app.llm.sse import MAX_EVENT_BYTES, SSEDecoder

PAYLOADS = st.lists(
    st.text(
        alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1
    ).map(lambda text: text.encode()),
    max_size=6,
)


def read(chunks: list[bytes]) -> list[bytes]:
    decoder = SSEDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@given(
    payloads=PAYLOADS,
    ending=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(min_value=0, max_value=400)),
)
def test_any_split_of_a_stream_gives_the_same_events(
    payloads: list[bytes], ending: bytes, cuts: list[int]
) -> None:
    stream = b"".join(
        b": comment" + ending + b"event: x" + ending + b"data: " + p + ending + ending
        for p in payloads
    )
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(edges)]

    assert read(pieces) == payloads
    assert read([stream[i : i + 1] for i in range(len(stream))]) == payloads


def test_data_lines_of_one_event_are_joined_and_a_lone_cr_ends_a_line() -> None:
    assert read([b"data: a\ndata:b\n\n", b"data: c\r\rdata: d\r\r\n"]) == [b"a\nb", b"c", b"d"]


@pytest.mark.parametrize("line", [b"x" * 1000, b"data: " + b"y" * 900 + b"\n", b"data:\n" * 1000])
def test_an_event_over_the_limit_is_a_fault_of_the_provider(line: bytes) -> None:
    decoder = SSEDecoder()
    with pytest.raises(ProviderError) as caught:
        for _ in range(MAX_EVENT_BYTES // len(line) + 200):
            decoder.feed(line)

    assert caught.value.kind is FailureKind.PROTOCOL


def test_a_byte_order_mark_at_the_start_belongs_to_no_line() -> None:
    stream = b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n"

    assert read([stream]) == [b"a", b"\xef\xbb\xbfb"]
    assert read([stream[i : i + 1] for i in range(len(stream))]) == [b"a", b"\xef\xbb\xbfb"]


def test_an_event_that_ends_in_a_cr_does_not_wait_for_the_next_one() -> None:
    decoder = SSEDecoder()

    assert decoder.feed(b"data: a\n\r") == []
    assert decoder.feed(b"d") == [b"a"]
