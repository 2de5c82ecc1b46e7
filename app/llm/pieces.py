"""The pieces of an answer."""

from collections.abc import Iterable, Iterator

from app.errors import ProviderError
from app.events import TextDelta
from app.llm.provider import ToolCallDelta


def coalesce_deltas(
    events: Iterable[TextDelta | ToolCallDelta | None],
) -> Iterator[TextDelta | ToolCallDelta]:
    """What came in one read, pieces of text that follow each other as one.

    A model's pieces come one a read, unless this process is behind: then they are made one,
    since each costs the same all the way to the caller. What raises, raises behind the text.
    """
    said: list[str] = []
    try:
        for event in events:
            if isinstance(event, TextDelta):
                said.append(event.text)
            elif event is not None:
                if said:
                    yield TextDelta("".join(said))
                    said.clear()
                yield event
    except ProviderError:
        if said:
            yield TextDelta("".join(said))
        raise
    if said:
        yield TextDelta("".join(said))
