"""XLSX, XLS and ODS into Markdown: a section a sheet, a paragraph a row."""

import io
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum, WorksheetNotFound

from app.errors import DocumentRejected
from app.retrieval.extractors.archives import Archive, Element, attribute, child
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.table import MAX_ROWS, of_rows
from app.retrieval.warnings import DocumentWarning

_MAX_CELLS = 2_000_000
_PERCENT_FORMATS = frozenset([9, 10])
_CELL = re.compile(r"([A-Z]{1,3})(\d{1,7})")

Place = tuple[int, int]
"""A cell by its row and column, from 0."""


def extract(content: bytes) -> Extracted:
    """All sheets that can be seen. Raises `DocumentRejected`."""
    is_archive = content.startswith(b"PK")
    percents = _percents(content) if is_archive else {}
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return _of(workbook, percents)
    except (CalamineError, WorksheetNotFound) as error:
        raise DocumentRejected(f"is a damaged spreadsheet: {error:.100}") from error


def _of(workbook: CalamineWorkbook, percents: dict[int, set[Place]]) -> Extracted:
    sections, hidden, count = [], [], 0
    for n, sheet in enumerate(workbook.sheets_metadata):
        if sheet.visible is not SheetVisibleEnum.Visible:
            hidden.append(sheet.name)
            continue
        rows = _rows(workbook, sheet.name, percents.get(n, set()))
        count += len(rows)
        if count > MAX_ROWS:
            raise DocumentRejected(f"has more than {MAX_ROWS} rows: split it")
        text = of_rows(rows)
        if text:
            sections.append(f"## {sheet.name}\n\n{text}")
    if not sections:
        raise DocumentRejected("has no rows in the sheets that can be seen")
    warnings: tuple[DocumentWarning, ...] = ()
    if hidden:
        detail = f"{len(hidden)} hidden sheets are left out: {', '.join(hidden)[:100]}"
        warnings = (DocumentWarning("hidden_text", detail),)
    return Extracted("\n".join(sections), is_markdown=True, warnings=warnings)


def _rows(workbook: CalamineWorkbook, name: str, percents: set[Place]) -> list[list[str]]:
    sheet = workbook.get_sheet_by_name(name)
    if sheet.total_height * sheet.total_width > _MAX_CELLS:
        raise DocumentRejected(f"has a sheet of more than {_MAX_CELLS // 10**6} million cells")
    values = sheet.to_python(skip_empty_area=False)
    rows = [
        [_written(value, (r, c) in percents) for c, value in enumerate(row)]
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
    return rows


def _written(value: object, is_percent: bool) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float() if is_percent:
            return f"{value * 100:.12g}%"
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


def _percents(content: bytes) -> dict[int, set[Place]]:
    """The cells of each sheet of an XLSX that are shown as per cent."""
    with Archive(content, "spreadsheet") as archive:
        styles = archive.xml("xl/styles.xml")
        if styles is None:
            return {}
        shown = {str(n) for n, is_percent in enumerate(_is_percent(styles)) if is_percent}
        if not shown:
            return {}
        places: dict[int, set[Place]] = {}
        for n in range(200):
            sheet = archive.xml(f"xl/worksheets/sheet{n + 1}.xml")
            if sheet is not None:
                cells = (c for c in sheet.iter("{*}c") if attribute(c, "s") in shown)
                places[n] = {_place(attribute(cell, "r") or "") for cell in cells}
        return places


def _is_percent(styles: Element) -> Iterator[bool]:
    """Of each format of cells, in order."""
    written = {
        attribute(form, "numFmtId"): attribute(form, "formatCode") or ""
        for form in styles.iter("{*}numFmt")
    }
    formats = child(styles, "cellXfs")
    for form in formats if formats is not None else ():
        number = attribute(form, "numFmtId") or "0"
        is_known = number.isdecimal() and int(number) in _PERCENT_FORMATS
        yield is_known or "%" in written.get(number, "")


def _place(reference: str) -> Place:
    match = _CELL.fullmatch(reference)
    if not match:
        return -1, -1
    column = 0
    for letter in match[1]:
        column = column * 26 + ord(letter) - 64
    return int(match[2]) - 1, column - 1
