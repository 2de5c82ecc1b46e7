"""CSV into one paragraph a row, each value under its column's name."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from app.errors import DocumentRejected
from app.retrieval.extractors.encodings import decoded
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.fields import blocks
from app.retrieval.extractors.figures import differences, figures
from app.retrieval.extractors.normalisation import normalised
from app.retrieval.warnings import DocumentWarning

MAX_ROWS = 100_000
MAX_COLUMNS = 16_384
"""As many as a sheet of a spreadsheet has."""
_SAMPLE_CHARACTERS = 20_000
_SEPARATORS = "\t|;,"
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?[ \t]*\r?\n", re.I)
_NUMERIC = re.compile(r"[^\w]*\d[\d.,:/%\s-]*(?:[^\W\d]{1,3})?")
_YEAR = re.compile(r"(?:19|20)\d\d")
_MAX_TITLE_ROWS = 10

Row = list[str]


def extract(content: bytes) -> Extracted:
    """A paragraph a row. Raises `DocumentRejected`."""
    text, warnings = decoded(content)
    text = normalised(text)
    rows, warning = _read(text)
    if len(rows) > MAX_ROWS:
        raise DocumentRejected(f"has more than {MAX_ROWS} rows: split it")
    if any(len(row) > MAX_COLUMNS for row in rows):
        raise DocumentRejected(f"has more than {MAX_COLUMNS} columns: split it")
    extracted = of_rows(rows)
    if not extracted:
        raise DocumentRejected("has no rows below its first, which names the columns")
    differing = differences(figures(extracted), figures(text))
    return Extracted(extracted, is_markdown=False, warnings=(*warnings, *warning, *differing))


def of_rows(rows: Sequence[Row]) -> str:
    """The text of rows: titles above the names of the columns, then a paragraph a row.

    Empty where there is nothing but names.
    """
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    titles = _title_rows(rows)
    paragraphs = [" ".join(filter(None, row)) for row in rows[:titles]]
    rows = rows[titles:]
    if not rows:
        return ""
    if not _has_names(rows):
        paragraphs += [" | ".join(filter(None, row)) for row in rows]
    elif len(rows) == 1:
        return ""
    else:
        names = _distinct(rows[0])
        paragraphs += [block for row in rows[1:] for block in _blocks(names, row)]
    return "\n\n".join(paragraphs) + "\n"


def _read(text: str) -> tuple[list[Row], tuple[DocumentWarning, ...]]:
    declared = _SEPARATOR_LINE.match(text)
    body = text[declared.end() :] if declared else text
    separator = declared[1] if declared else _separator(body[:_SAMPLE_CHARACTERS])
    try:
        return list(_rows(body, separator)), ()
    except csv.Error as error:
        if "unexpected end of data" not in str(error):
            raise DocumentRejected(f"is not CSV: {error}") from error
    # A quotation mark that is never closed would make one cell of all that follows.
    rows = csv.reader(_lines(body), delimiter=separator, quoting=csv.QUOTE_NONE)
    detail = "a quotation mark is not closed: cells are read with their quotation marks"
    try:
        return list(rows), (DocumentWarning("structure", detail),)
    except csv.Error as error:
        raise DocumentRejected(f"is not CSV: {error}") from error


def _rows(text: str, separator: str) -> Iterator[Row]:
    spaced = re.search(rf"{re.escape(separator)} +\"", text) is not None
    reader = csv.reader(_lines(text), delimiter=separator, skipinitialspace=spaced, strict=True)
    try:
        yield from reader
    except csv.Error as error:
        if "expected after" not in str(error):
            raise
        # A quotation mark within a cell is one of its characters.
        read = reader.line_num
        lenient = csv.reader(_lines(text), delimiter=separator, skipinitialspace=spaced)
        yield from (row for row in lenient if lenient.line_num >= read)


def _separator(sample: str) -> str:
    """What cuts most rows into as many cells as the first; or, below a title, as each other."""

    # Not `csv.Sniffer`: it takes apostrophes for quotation marks, and a doubled one for two ends.
    def fits(separator: str) -> list[tuple[int, int]]:
        rows = csv.reader(_lines(sample), delimiter=separator)
        widths = Counter(len(row) for row in rows if row)
        alike = [(count, width) if width > 1 else (0, 0) for width, count in widths.items()]
        return [*alike[:1], max(alike, default=(0, 0))]

    # Of two that fit as well, the one that stands in prose less often.
    return max(_SEPARATORS, key=fits)


def _lines(text: str) -> io.StringIO:
    # Not `splitlines`: U+2028 and others end a line for it, and stand in cells.
    return io.StringIO(text, newline="")


def _title_rows(rows: Sequence[Row]) -> int:
    """How many rows above the columns' names hold a title: one cell, where most hold several."""
    filled = [sum(map(bool, row)) for row in rows]
    counts = Counter(filled[:1000])
    # Of two that are as common the wider: a title of two lines above two rows.
    usual = max(counts, key=lambda width: (counts[width], width), default=0)
    if usual < 2:
        return 0
    first = next((n for n, count in enumerate(filled) if count > 1), 0)
    return first if first <= _MAX_TITLE_ROWS else 0


def _has_names(rows: Sequence[Row]) -> bool:
    """Whether the first row names the columns: it is then unlike what is below it."""
    if len(rows) < 2:
        return True
    score = 0
    for n, name in enumerate(rows[0]):
        below = [row[n] for row in rows[1:50] if n < len(row) and row[n]]
        numeric = sum(bool(_NUMERIC.fullmatch(cell)) for cell in below)
        if not below or 2 * numeric <= len(below):
            continue
        is_value = bool(_NUMERIC.fullmatch(name)) and not _YEAR.fullmatch(name)
        score += -1 if is_value else 1
    return score >= 0


def _distinct(names: Row) -> Row:
    """Names that come again have a letter: a number would be one more figure."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(
            f"{name} ({chr(96 + min(seen[name], 26))})" if name and seen[name] > 1 else name
        )
    return distinct


def _blocks(names: Row, row: Row) -> list[str]:
    cells = enumerate(row)
    return blocks([(names[i] if i < len(names) else "", cell) for i, cell in cells if cell])
