"""Pack passages into the part of a model's prompt that is theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.events import Passage, Section


@dataclass(frozen=True, slots=True)
class Extract:
    """What the model reads under one or more citation numbers."""

    numbers: tuple[int, ...]
    passage: Passage
    """The first of its passages."""
    text: str


@dataclass(slots=True)
class _Span:
    numbers: list[int]
    passage: Passage
    start: int
    end: int
    text: str

    def holds(self, passage: Passage) -> bool:
        return (
            passage.document_id == self.passage.document_id
            and self.start <= passage.start
            and passage.end <= self.end
        )


def pack(
    passages: Sequence[Passage], sections: Mapping[int, Section], characters: int
) -> list[Extract]:
    """As many of the first passages as fit, the best always; numbered from 1 as they come.

    The remaining characters go to their whole `sections` (by place in `passages`),
    the best first. Passages that follow one another or share a section are one extract.
    """
    spans = _own(passages, characters)
    left = characters - sum(len(span.text) for span in spans)
    for n in range(1, len(spans) + 1):
        section = sections.get(n - 1)
        if section is not None and any(span.numbers == [n] for span in spans):
            left -= _widen(spans, n, section, left)
    merged = _merged(sorted(spans, key=lambda s: (s.passage.document_id, s.start)))
    return [
        Extract(tuple(sorted(span.numbers)), span.passage, span.text)
        for span in sorted(merged, key=lambda span: min(span.numbers))
    ]


def _own(passages: Sequence[Passage], characters: int) -> list[_Span]:
    spans: list[_Span] = []
    used = 0
    for n, passage in enumerate(passages, 1):
        used += len(passage.text)
        if spans and used > characters:
            break
        spans.append(_Span([n], passage, passage.start, passage.end, passage.text))
    return spans


def _widen(spans: list[_Span], n: int, section: Section, left: int) -> int:
    """Put the section in the place of all that it holds, if it fits; the characters added."""
    own = next(span for span in spans if span.numbers == [n])
    wide = _Span([], own.passage, section.start, section.end, section.text)
    held = [span for span in spans if wide.holds(span.passage)]
    added = len(section.text) - sum(len(span.text) for span in held)
    if added <= 0 or added > left:
        return 0
    wide.numbers = [number for span in held for number in span.numbers]
    spans[:] = [span for span in spans if span not in held] + [wide]
    return added


def _merged(spans: Sequence[_Span]) -> list[_Span]:
    """Spans of one section that follow one another, as one; in document order."""
    merged: list[_Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last and _follows(last, span):
            last.numbers += span.numbers
            last.text = f"{last.text}\n{span.text}"
            last.end = span.end
        else:
            merged.append(span)
    return merged


def _follows(last: _Span, span: _Span) -> bool:
    # Between two chunks of one section there is nothing but a blank line.
    return (last.passage.document_id, last.passage.section) == (
        span.passage.document_id,
        span.passage.section,
    ) and 0 <= span.start - last.end <= 2
