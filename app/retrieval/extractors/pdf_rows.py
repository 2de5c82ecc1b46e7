"""Characters with their places into rows: what is on a baseline, cut where a gap is wide."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from app.retrieval.extractors.pdf_characters import Character
from app.retrieval.extractors.raised import superscript

# In heights of the line.
_SAME_LINE = 0.35
_SPACE = 0.12
_GAP = 1.0
_JUSTIFIED_GAP = 2.5
# As a browser prints a superscript: 0.83 of its line.
_SMALL = 0.88
_RAISED = 0.08


@dataclass(slots=True)
class Segment:
    """A part of a row without a wide gap."""

    text: str
    left: float
    right: float
    baseline: float
    height: float


@dataclass(slots=True)
class Row:
    """What is on one baseline, from left to right."""

    segments: list[Segment]
    baseline: float
    height: float


@dataclass(slots=True)
class _Line:
    characters: list[Character] = field(default_factory=list)
    raised: list[Character] = field(default_factory=list)


def rows_of(characters: Sequence[Character], extra: Sequence[Segment]) -> list[Row]:
    """The rows of a page from its top; `extra` are values of fields, each in its place."""
    heights = [c.height for c in characters if c.text.strip()]
    usual = median(heights) if heights else 10.0
    lines: list[_Line] = []
    for character in sorted(characters, key=lambda c: -c.baseline):
        line = lines[-1] if lines else None
        first = line.characters[0] if line and line.characters else None
        if first and first.baseline - character.baseline <= _SAME_LINE * min(
            max(first.height, character.height), usual * 2
        ):
            assert line
            line.characters.append(character)
        else:
            lines.append(_Line([character]))
    segments = [segment for line in _with_raised(lines) for segment in _segments(line)]
    rows: list[Row] = []
    for segment in sorted([*segments, *extra], key=lambda s: -s.baseline):
        row = rows[-1] if rows else None
        if row and row.baseline - segment.baseline <= _SAME_LINE * max(row.height, 1.0):
            row.segments.append(segment)
            row.height = max(row.height, segment.height)
        else:
            rows.append(Row([segment], segment.baseline, segment.height))
    for row in rows:
        row.segments.sort(key=lambda s: s.left)
    return rows


def _with_raised(lines: list[_Line]) -> list[_Line]:
    """Lines of small characters a little above another are marks in that one."""
    kept: list[_Line] = []
    for n, line in enumerate(lines):
        below = lines[n + 1] if n + 1 < len(lines) else None
        height = max(c.height for c in line.characters)
        if below and below.characters:
            base = max(below.characters, key=lambda c: c.height)
            rise = line.characters[0].baseline - below.characters[0].baseline
            text = "".join(c.text for c in line.characters).strip()
            is_small = height < _SMALL * base.height and rise < 0.7 * base.height
            if is_small and len(text) <= 8 and _touches(line, below):
                below.raised += line.characters
                continue
        kept.append(line)
    for line in kept:
        tall = max((c.height for c in line.characters), default=0.0)
        level = median(c.baseline for c in line.characters)
        marks = [
            c
            for c in line.characters
            if c.height < _SMALL * tall and c.baseline > level + _RAISED * tall
        ]
        line.raised += marks
        if marks:
            line.characters = [c for c in line.characters if c not in marks]
    return [line for line in kept if line.characters or line.raised]


def _touches(line: _Line, below: _Line) -> bool:
    left = min(c.left for c in line.characters)
    return any(abs(c.right - left) < 0.5 * c.height for c in below.characters if c.text.strip())


def _segments(line: _Line) -> list[Segment]:
    raised = {id(character) for character in line.raised}
    ordered = sorted([*line.characters, *line.raised], key=lambda c: (c.left, c.right))
    spaces = sorted(c.left for c in ordered if not c.text.strip())
    pieces: list[list[Character]] = []
    for character in ordered:
        if not character.text.strip():
            continue
        last = pieces[-1][-1] if pieces else None
        height = max(character.height, last.height if last else 0.0)
        if last is None or _is_wide(last, character, height, spaces):
            pieces.append([])
        elif _is_double(last, character):
            continue
        pieces[-1].append(character)
    return [_segment(piece, raised, spaces) for piece in pieces]


def _is_wide(before: Character, after: Character, height: float, spaces: list[float]) -> bool:
    gap = after.left - before.right
    if gap <= _GAP * height:
        return False
    # One space of a justified line may be as wide as a gap between cells, which has none.
    count = len(_between(spaces, before.left + 0.01, after.left + 0.01))
    return count != 1 or gap > _JUSTIFIED_GAP * height


def _is_double(last: Character, character: Character) -> bool:
    """Whether a letter is drawn twice, a little moved, to be bold."""
    moved = abs(character.left - last.left)
    return character.text == last.text and moved < 0.2 * (last.right - last.left)


def _segment(piece: list[Character], raised: set[int], spaces: list[float]) -> Segment:
    text, mark = "", ""
    previous: Character | None = None
    for character in piece:
        is_mark = id(character) in raised
        if mark and not is_mark:
            text, mark = text + superscript(text, mark), ""
        if (
            previous is not None
            and not (is_mark and mark)
            and _is_apart(previous, character, spaces)
        ):
            text += "" if is_mark else " "
        if is_mark:
            mark += character.text
        else:
            text += character.text
        previous = character
    text += superscript(text, mark) if mark else ""
    tall = max(piece, key=lambda c: c.height)
    right = max(c.right for c in piece)
    return Segment(text.strip(), piece[0].left, right, tall.baseline, tall.height)


def _is_apart(before: Character, after: Character, spaces: list[float]) -> bool:
    gap = after.left - before.right
    height = min(before.height, after.height)
    if gap > _SPACE * height:
        return True
    low, high = before.left + 0.01, after.left + 0.01
    # Figures that are set apart a little less, by their own pieces of text, are two.
    return any(low < space <= high for space in _between(spaces, low, high))


def _between(spaces: list[float], low: float, high: float) -> list[float]:
    return spaces[bisect_right(spaces, low) : bisect_right(spaces, high)]
