"""CSV into one paragraph a row, each value under its column's name."""

import csv
import io
from collections import Counter
from collections.abc import Iterator

from app.errors import DocumentRejected
from app.retrieval.extractors.extracted import Extracted, decoded

MAX_ROWS = 100_000
_SAMPLE_CHARACTERS = 20_000
_SEPARATORS = "\t|;,"


def extract(content: bytes) -> Extracted:
    """The first row names the columns. Raises `DocumentRejected`."""
    text = decoded(content)
    rows = _rows(text)
    try:
        names = [name.strip() for name in next(rows, [])]
        paragraphs = [_paragraph(names, row) for row in rows]
    except csv.Error as error:
        raise DocumentRejected(f"is not CSV: {error}") from error
    if len(paragraphs) > MAX_ROWS:
        raise DocumentRejected(f"has more than {MAX_ROWS} rows: split it")
    if not any(paragraphs):
        raise DocumentRejected("has no rows below its first, which names the columns")
    return Extracted("\n\n".join(filter(None, paragraphs)) + "\n", is_markdown=False)


def _rows(text: str) -> Iterator[list[str]]:
    return csv.reader(_lines(text), delimiter=_separator(text[:_SAMPLE_CHARACTERS]))


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


def _paragraph(names: list[str], row: list[str]) -> str:
    cells = enumerate(" ".join(value.split()) for value in row)
    return "\n".join(
        f"{names[i]}: {value}" if i < len(names) and names[i] else value
        for i, value in cells
        if value
    )
