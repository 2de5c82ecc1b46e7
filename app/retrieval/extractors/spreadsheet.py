"""XLSX, XLS and ODS into Markdown: a section a sheet, a paragraph a row."""

import io
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum, WorksheetNotFound

from app.errors import DocumentRejected
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.sheet_looks import Look, Place, looks_of
from app.retrieval.extractors.table import MAX_ROWS, of_rows
from app.retrieval.warnings import DocumentWarning

_MAX_CELLS = 2_000_000
_MAX_HEADER_ROWS = 4


def extract(content: bytes) -> Extracted:
    """All sheets that can be seen. Raises `DocumentRejected`."""
    looks = looks_of(content) if content.startswith(b"PK") else {}
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return _of(workbook, looks)
    except (CalamineError, WorksheetNotFound) as error:
        raise DocumentRejected(f"is a damaged spreadsheet: {error:.100}") from error


def _of(workbook: CalamineWorkbook, looks: dict[str, Look]) -> Extracted:
    sections, hidden, count = [], [], 0
    warnings: list[DocumentWarning] = []
    for sheet in workbook.sheets_metadata:
        if sheet.visible is not SheetVisibleEnum.Visible:
            hidden.append(sheet.name)
            continue
        look = looks.get(sheet.name, Look())
        rows = _rows(workbook, sheet.name, look)
        warnings += look.warnings(sheet.name)
        count += len(rows)
        if count > MAX_ROWS:
            raise DocumentRejected(f"has more than {MAX_ROWS} rows: split it")
        text = of_rows(rows)
        if text:
            sections.append(f"## {sheet.name}\n\n{text}")
    if not sections:
        raise DocumentRejected("has no rows in the sheets that can be seen")
    if hidden:
        detail = f"{len(hidden)} hidden sheets are left out: {', '.join(hidden)[:100]}"
        warnings.append(DocumentWarning("hidden_text", detail))
    return Extracted("\n".join(sections), is_markdown=True, warnings=tuple(warnings))


def _rows(workbook: CalamineWorkbook, name: str, look: Look) -> list[list[str]]:
    sheet = workbook.get_sheet_by_name(name)
    if sheet.total_height * sheet.total_width > _MAX_CELLS:
        raise DocumentRejected(f"has a sheet of more than {_MAX_CELLS // 10**6} million cells")
    values = sheet.to_python(skip_empty_area=False)
    rows = [
        [_written(value, look.formats.get((r, c), "")) for c, value in enumerate(row)]
        for r, row in enumerate(values)
    ]
    # A cell that is merged fills all that it covers.
    for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
        if (bottom - top) * (right - left) < _MAX_CELLS and top < len(rows) and right > left:
            # What covers a whole row is its title.
            is_title = right - left + 1 >= len(rows[top])
            for row in range(top, min(bottom + 1, len(rows))):
                for column in range(left, min(right + 1, len(rows[row]))):
                    rows[row][column] = "" if is_title and column > left else rows[top][left]
        elif top < len(rows) and left < len(rows[top]):
            for row in range(top, min(bottom + 1, len(rows))):
                rows[row][left] = rows[top][left]
    names = _header_rows(rows, sheet.merged_cell_ranges or ())
    if names:
        rows[names.start] = _joined(rows[names.start : names.stop])
    left_out = look.hidden_rows | set(names[1:] if names else ())
    return [
        [cell for c, cell in enumerate(row) if c not in look.hidden_columns]
        for r, row in enumerate(rows)
        if r not in left_out
    ]


def _header_rows(rows: list[list[str]], merged: Iterable[tuple[Place, Place]]) -> range | None:
    """The rows that name the columns, where cells are merged across columns in the first."""
    wide = [
        (top, bottom, left)
        for (top, left), (bottom, right) in merged
        if top < len(rows) and left < right and right - left + 1 < sum(map(bool, rows[top]))
    ]
    first = next((n for n, row in enumerate(rows) if sum(map(bool, row)) > 1), 0)
    last = max((bottom for top, bottom, _ in wide if top == first), default=-1) + 1
    is_below = last and first < last < len(rows) - 1 and last - first < _MAX_HEADER_ROWS
    return range(first, last + 1) if is_below and _are_names(rows[last]) else None


def _are_names(row: list[str]) -> bool:
    return not any(cell.replace(".", "").isdecimal() and len(cell) != 4 for cell in row)


def _joined(rows: list[list[str]]) -> list[str]:
    """The names of the columns, of as many rows as they are in."""
    columns = zip(*rows, strict=False)
    return [" ".join(dict.fromkeys(filter(None, column))) for column in columns]


def _written(value: object, shown: str) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float() if shown == "%":
            return f"{value * 100:.12g}%"
        case float() if shown.strip("0") == "" and shown and value.is_integer():
            # A code with zeros before it, such as 00361.
            return str(int(value)).zfill(len(shown))
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return str(value)
