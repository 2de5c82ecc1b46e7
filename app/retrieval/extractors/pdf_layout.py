"""Rows into lines, in the order in which they are read.

Rows that share a gap are columns of prose, read one after another, or a table, whose cells are
kept apart.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from app.retrieval.extractors.fields import MAX_BLOCK_CHARACTERS
from app.retrieval.extractors.pdf_characters import Character
from app.retrieval.extractors.pdf_rows import Row, Segment, rows_of

# In heights of the line.
_PARAGRAPH = 1.75
_MIN_COLUMN_ROWS = 3
_MIN_PROSE_SHARE = 0.4

_MARKER = re.compile(r"\W*(?:\d{1,3}|[a-zA-Z]{1,4})?\W*")
_NUMERIC = re.compile(r"[^\w]*\d[\d.,:/%\s-]*[^\W\d]{0,3}|-|–")
CELL = " | "
"""What stands between the cells of a row."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of the text; `follows_gap` where there is a space as between paragraphs above it."""

    text: str
    height: float
    follows_gap: bool


def text_lines(characters: Sequence[Character], extra: Sequence[Segment] = ()) -> list[TextLine]:
    """The lines of a page; `extra` are values of fields, each in its place."""
    rows = rows_of(characters, extra)
    lines: list[TextLine] = []
    start = 0
    while start < len(rows):
        end, gutter = _band(rows, start)
        if gutter is None:
            lines.append(_line(rows, start, " "))
        elif _is_prose(rows[start:end], gutter):
            left, right = _split(rows[start:end], gutter)
            lines += _numbered(left) + _numbered(right)
        else:
            lines += _table_lines(rows, start, end)
        start = end
    return lines


def _numbered(rows: list[Row]) -> list[TextLine]:
    """A column, which may hold columns again."""
    lines: list[TextLine] = []
    start = 0
    while start < len(rows):
        end, gutter = _band(rows, start)
        if gutter is not None and _is_prose(rows[start:end], gutter):
            left, right = _split(rows[start:end], gutter)
            lines += _numbered(left) + _numbered(right)
        else:
            end = start + 1
            lines.append(_line(rows, start, " "))
        start = end
    return lines


def _line(rows: Sequence[Row], n: int, separator: str) -> TextLine:
    row = rows[n]
    above = rows[n - 1].baseline - row.baseline if n else 0.0
    text = separator.join(segment.text for segment in row.segments)
    return TextLine(text, row.height, above > _PARAGRAPH * row.height or above < 0)


def _band(rows: Sequence[Row], start: int) -> tuple[int, tuple[float, float] | None]:
    """How far the rows from `start` on share a gap, and where that is."""
    if len(rows[start].segments) < 2:
        return _one_sided(rows, start)
    best: tuple[int, tuple[float, float] | None] = (start + 1, None)
    for first, second in pairwise(rows[start].segments):
        end, gutter = _followed(rows, start, (first.right, second.left))
        two_sided = sum(len(row.segments) > 1 for row in rows[start:end])
        if two_sided >= 2 and end > best[0]:
            best = (end, gutter)
    return best


def _followed(
    rows: Sequence[Row], start: int, gutter: tuple[float, float]
) -> tuple[int, tuple[float, float]]:
    """How far a gap goes down, and what is left of it there."""
    end = start + 1
    while end < len(rows):
        narrowed = _narrowed(gutter, rows[end])
        is_far = rows[end - 1].baseline - rows[end].baseline > 4 * rows[end].height
        if narrowed is None or is_far:
            break
        gutter = narrowed
        end += 1
    while end > start + 1 and len(rows[end - 1].segments) < 2:
        end -= 1
    return end, gutter


def _one_sided(rows: Sequence[Row], start: int) -> tuple[int, tuple[float, float] | None]:
    """A row with one part may begin columns, whose other part begins lower."""
    row = rows[start].segments[0]
    if start + 1 < len(rows) and len(rows[start + 1].segments) > 1:
        end, gutter = _band(rows, start + 1)
        if gutter and end - start > _MIN_COLUMN_ROWS and _is_prose(rows[start + 1 : end], gutter):
            near = rows[start].baseline - rows[start + 1].baseline < _PARAGRAPH * row.height
            narrowed = _narrowed(gutter, rows[start])
            if near and narrowed:
                return end, narrowed
    return start + 1, None


def _narrowed(gutter: tuple[float, float], row: Row) -> tuple[float, float] | None:
    """What is left of a gap beside the parts of a row; None where one lies across."""
    left, right = gutter
    for segment in row.segments:
        middle = (left + right) / 2
        if segment.right <= middle or segment.right <= left:
            left = max(left, segment.right)
        elif segment.left >= middle or segment.left >= right:
            right = min(right, segment.left)
        else:
            return None
    return (left, right) if right - left > 0.5 * row.height else None


def _split(rows: Sequence[Row], gutter: tuple[float, float]) -> tuple[list[Row], list[Row]]:
    middle = (gutter[0] + gutter[1]) / 2
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        for side, is_left in ((sides[0], True), (sides[1], False)):
            segments = [s for s in row.segments if (s.right <= middle) == is_left]
            if segments:
                side.append(Row(segments, row.baseline, row.height))
    return sides


def _is_prose(rows: Sequence[Row], gutter: tuple[float, float]) -> bool:
    """Whether both sides go on from line to line, as sentences do and cells do not."""
    return all(_goes_on(side) for side in _split(rows, gutter))


def _goes_on(rows: list[Row]) -> bool:
    if len(rows) < _MIN_COLUMN_ROWS:
        return False
    texts = [" ".join(segment.text for segment in row.segments) for row in rows]
    if median(len(text) for text in texts) < 12 or any(CELL in text for text in texts):
        return False
    following = sum(text[:1].islower() or before.endswith("-") for before, text in pairwise(texts))
    return following >= _MIN_PROSE_SHARE * (len(texts) - 1)


def _table_lines(rows: Sequence[Row], start: int, end: int) -> list[TextLine]:
    band = rows[start:end]
    is_table = len(band) >= 2 and not _is_list(band) and _has_columns(band)
    if is_table:
        rows = [*rows[:start], *_in_columns(band)]
    lines = [_line(rows, n, CELL if is_table else " ") for n in range(start, end)]
    return _with_names(lines) if is_table and _names_columns(band[0]) else lines


def _in_columns(rows: Sequence[Row]) -> list[Row]:
    """The rows of a table with an empty cell in each column where they have none.

    The columns are where the rows with the most cells have theirs; a row that does not fit into
    them stays as it is.
    """
    most = max(len(row.segments) for row in rows)
    full = [row.segments for row in rows if len(row.segments) == most]
    columns = [(min(s.left for s in c), max(s.right for s in c)) for c in zip(*full, strict=True)]
    if any(before[1] > after[0] for before, after in pairwise(columns)):
        return list(rows)
    placed = []
    for row in rows:
        cells = _placed(row.segments, columns) if 1 < len(row.segments) < most else None
        placed.append(Row(cells, row.baseline, row.height) if cells else row)
    return placed


def _placed(
    segments: Sequence[Segment], columns: Sequence[tuple[float, float]]
) -> list[Segment] | None:
    """Each part in the one column that it touches; None where one touches none, or several."""
    cells = [Segment("", left, left, 0.0, 0.0) for left, _ in columns]
    for segment in segments:
        touched = [
            n
            for n, (left, right) in enumerate(columns)
            if segment.left < right and left < segment.right
        ]
        if len(touched) != 1 or cells[touched[0]].text:
            return None
        cells[touched[0]] = segment
    return cells


def _names_columns(row: Row) -> bool:
    return len(row.segments) > 1 and not any(_NUMERIC.fullmatch(s.text) for s in row.segments)


def _with_names(lines: list[TextLine]) -> list[TextLine]:
    """The rows with the names of the columns above each part that a passage can hold."""
    kept: list[TextLine] = []
    length = 0
    for line in lines:
        if length + len(line.text) > MAX_BLOCK_CHARACTERS:
            kept.append(replace(lines[0], follows_gap=True))
            length = len(lines[0].text)
        kept.append(line)
        length += len(line.text) + 1
    return kept


def _is_list(rows: Sequence[Row]) -> bool:
    """Whether what is on the left are only marks: `a.`, `(2)`, `:`."""
    firsts = [row.segments[0].text for row in rows if len(row.segments) > 1]
    seconds = [row.segments[1].text for row in rows if len(row.segments) > 1]
    if 2 * sum(text.startswith(":") for text in seconds) > len(seconds):
        return True
    marks = sum(bool(_MARKER.fullmatch(text)) and not text[:1].isdigit() for text in firsts)
    numbers = sum(bool(re.fullmatch(r"\(?\d{1,3}[.)]", text)) for text in firsts)
    return 2 * (marks + numbers) > len(firsts)


def _has_columns(rows: Sequence[Row]) -> bool:
    wide = [row for row in rows if len(row.segments) > 1]
    last = [row.segments[-1].text for row in wide]
    first = [row.segments[0].text for row in wide]
    if any(
        sum(bool(_NUMERIC.fullmatch(text)) for text in column) > (len(column) - 1) / 2
        for column in (first, last)
    ):
        return True
    return sum(len(row.segments) > 2 for row in wide) > len(wide) / 2 and _are_aligned(wide)


def _are_aligned(rows: Sequence[Row]) -> bool:
    """Whether most cells begin or end where one of another row does, as words do not."""
    inner = [[*row.segments[1:]] for row in rows]
    aligned = total = 0
    for n, segments in enumerate(inner):
        others = [s for m, other in enumerate(inner) if m != n for s in other]
        near = 0.3 * rows[n].height
        for segment in segments:
            total += 1
            aligned += any(
                abs(segment.left - o.left) < near or abs(segment.right - o.right) < near
                for o in others
            )
    return aligned >= 0.7 * total
