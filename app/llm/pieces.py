"""Deltas of an answer."""

from collections.abc import Iterable, Iterator

from app.errors import ProviderError
from app.events import TextDelta
from app.llm.provider import ToolCallDelta


def coalesce_deltas(
    events: Iterable[TextDelta | ToolCallDelta | None],
) -> Iterator[TextDelta | ToolCallDelta]:
    """Yield the events of one read, consecutive text deltas as one.

    A model's deltas come one a read unless this process lags: then they are coalesced, since
    each costs the same all the way to the caller. An error is raised after the text before it.
    """
    texts: list[str] = []
    try:
        for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
            elif event is not None:
                if texts:
                    yield TextDelta("".join(texts))
                    texts.clear()
                yield event
    except ProviderError:
        if texts:
            yield TextDelta("".join(texts))
        raise
    if texts:
        yield TextDelta("".join(texts))
