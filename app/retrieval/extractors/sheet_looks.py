"""How an XLSX shows its cells: formats of numbers, hidden rows and columns, what has no value."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.retrieval.extractors.archives import Archive, Element, attribute, child
from app.retrieval.warnings import DocumentWarning

_MAX_SHEETS = 200
_MAX_COLUMNS = 16_384
_PERCENT_FORMATS = frozenset([9, 10])
_ZEROS = re.compile(r"0{2,20}")
_CELL = re.compile(r"([A-Z]{1,3})(\d{1,7})")

Place = tuple[int, int]
"""A cell by its row and column, from 0."""


@dataclass(slots=True)
class Look:
    """Of one sheet. `formats` are `%`, or as many zeros as a number has digits at least."""

    formats: dict[Place, str] = field(default_factory=dict)
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    without_value: int = 0
    comments: int = 0

    def warnings(self, sheet: str) -> Iterator[DocumentWarning]:
        """What of the sheet is left out."""
        where = f"sheet {sheet}"
        if hidden := len(self.hidden_rows) + len(self.hidden_columns):
            detail = f"{hidden} hidden rows or columns are left out"
            yield DocumentWarning("hidden_text", detail, where)
        if self.without_value:
            detail = (
                f"{self.without_value} formulas have no value in the file: "
                "open it in a spreadsheet program and save it"
            )
            yield DocumentWarning("not_read", detail, where)
        if self.comments:
            yield DocumentWarning("not_read", f"{self.comments} comments are left out", where)


def looks_of(content: bytes) -> dict[str, Look]:
    """The looks of an XLSX's sheets by their names; none of an ODS."""
    with Archive(content, "spreadsheet") as archive:
        styles = archive.xml("xl/styles.xml")
        formats = list(_formats(styles)) if styles is not None else []
        workbook = archive.xml("xl/workbook.xml")
        sheets = list(workbook.iter("{*}sheet"))[:_MAX_SHEETS] if workbook is not None else []
        targets = _targets(archive, "xl/workbook.xml")
        looks = {}
        for element in sheets:
            part = targets.get(attribute(element, "id") or "", "")
            sheet = archive.xml(part)
            if sheet is not None:
                look = looks[attribute(element, "name") or ""] = _look(sheet, formats)
                look.comments = _comments(archive, part)
        return looks


def _look(sheet: Element, formats: list[str]) -> Look:
    look = Look()
    for column in sheet.iter("{*}col"):
        if attribute(column, "hidden") in ("1", "true"):
            first, last = (int(attribute(column, n) or 0) for n in ("min", "max"))
            look.hidden_columns |= set(range(first - 1, min(last, _MAX_COLUMNS)))
    for row in sheet.iter("{*}row"):
        number = attribute(row, "r") or ""
        if attribute(row, "hidden") in ("1", "true") and number.isdecimal():
            look.hidden_rows.add(int(number) - 1)
    for cell in sheet.iter("{*}c"):
        style = attribute(cell, "s") or "0"
        shown = formats[int(style)] if style.isdecimal() and int(style) < len(formats) else ""
        if shown:
            look.formats[_place(attribute(cell, "r") or "")] = shown
        value = child(cell, "v")
        if child(cell, "f") is not None and (value is None or not value.text):
            look.without_value += 1
    return look


def _formats(styles: Element) -> Iterator[str]:
    """Of each format of cells, in order, what of it is followed."""
    written = {
        attribute(form, "numFmtId"): attribute(form, "formatCode") or ""
        for form in styles.iter("{*}numFmt")
    }
    formats = child(styles, "cellXfs")
    for form in formats if formats is not None else ():
        number = attribute(form, "numFmtId") or "0"
        code = written.get(number, "")
        is_percent = number.isdecimal() and int(number) in _PERCENT_FORMATS
        if is_percent or "%" in code:
            yield "%"
        else:
            yield code if _ZEROS.fullmatch(code) else ""


def _targets(archive: Archive, part: str) -> dict[str, str]:
    """The parts that a part refers to, by the ids under which it does."""
    folder, name = posixpath.split(part)
    root = archive.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
    return {
        attribute(element, "Id") or "": posixpath.normpath(
            posixpath.join("/", folder, attribute(element, "Target") or "")
        ).lstrip("/")
        for element in (root if root is not None else ())
    }


def _comments(archive: Archive, part: str) -> int:
    parts = [t for t in _targets(archive, part).values() if "comment" in posixpath.basename(t)]
    roots = (archive.xml(target) for target in parts)
    return sum(len(list(root.iter("{*}comment"))) for root in roots if root is not None)


def _place(reference: str) -> Place:
    match = _CELL.fullmatch(reference)
    if not match:
        return -1, -1
    column = 0
    for letter in match[1]:
        column = column * 26 + ord(letter) - 64
    return int(match[2]) - 1, column - 1
