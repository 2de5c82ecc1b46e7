from collections.abc import Iterator

import pytest

from app.errors import FailureKind, ProviderError
from app.events import TextDelta
from app.llm.pieces import coalesce_deltas
from app.llm.provider import ToolCallDelta


def test_pieces_of_text_that_came_together_are_passed_on_as_one() -> None:
    came = [TextDelta("Dieci "), None, TextDelta("miliardi"), ToolCallDelta(), TextDelta(".")]

    assert list(coalesce_deltas(came)) == [
        TextDelta("Dieci miliardi"),
        ToolCallDelta(),
        TextDelta("."),
    ]


def test_text_is_passed_on_before_the_failure_that_came_with_it() -> None:
    def breaking_off() -> Iterator[TextDelta]:
        yield TextDelta("Dieci ")
        yield TextDelta("mi")
        raise ProviderError(FailureKind.PROTOCOL, "a malformed chunk")

    pieces = coalesce_deltas(breaking_off())

    assert next(pieces) == TextDelta("Dieci mi")
    with pytest.raises(ProviderError, match="malformed"):
        next(pieces)
