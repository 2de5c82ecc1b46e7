"""Tables as Markdown that a passage can hold: the columns' names stand above each part."""

from collections.abc import Sequence

from app.retrieval.extractors.fields import MAX_BLOCK_CHARACTERS, blocks

Grid = Sequence[Sequence[str]]


def spanned(rows: Sequence[Sequence[tuple[str, int, int]]]) -> list[list[str]]:
    """The grid of rows of `(text, columns, rows)`: each cell fills all that it spans."""
    grid: list[list[str]] = []
    pending: dict[int, tuple[str, int]] = {}
    for cells in rows:
        row: list[str] = []
        following: dict[int, tuple[str, int]] = {}

        def place(
            text: str,
            more_rows: int,
            row: list[str] = row,
            following: dict[int, tuple[str, int]] = following,
        ) -> None:
            if more_rows > 0:
                following[len(row)] = (text, more_rows)
            row.append(text)

        for text, columns, height in cells:
            while len(row) in pending:
                above, left = pending.pop(len(row))
                place(above, left - 1)
            for _ in range(columns):
                place(text, height - 1)
        while len(row) in pending:
            above, left = pending.pop(len(row))
            place(above, left - 1)
        pending = following
        grid.append(row)
    return grid


def as_markdown(grid: Grid, header_rows: int = 1) -> str:
    """The table, in parts that fit into a passage; rows that are too long as records."""
    width = max(map(len, grid), default=0)
    padded = [[_cell(text) for text in row] + [""] * (width - len(row)) for row in grid]
    kept = [n for n in range(width) if any(row[n] for row in padded)]
    rows = [[row[n] for n in kept] for row in padded]
    names, body = _joined(rows[:header_rows]), [row for row in rows[header_rows:] if any(row)]
    if not kept or not (body or any(names)):
        return ""
    head = f"{_line(names or [''] * len(kept))}\n{_line(['---'] * len(kept))}"
    parts: list[list[str]] = []
    length = MAX_BLOCK_CHARACTERS
    for row in body:
        line = _line(row)
        if len(head) + len(line) >= MAX_BLOCK_CHARACTERS:
            fields = [(n, text) for n, text in zip(names, row, strict=True) if text]
            parts += [[block] for block in blocks(fields)]
            length = MAX_BLOCK_CHARACTERS
            continue
        if length + len(line) >= MAX_BLOCK_CHARACTERS:
            parts.append([head])
            length = len(head)
        parts[-1].append(line)
        length += len(line) + 1
    return "\n\n".join("\n".join(part) for part in parts or [[head]])


def _joined(header: list[list[str]]) -> list[str]:
    """The names of the columns, of as many rows as they are in."""
    return [" ".join(dict.fromkeys(filter(None, column))) for column in zip(*header, strict=True)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
