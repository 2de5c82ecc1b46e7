"""Writes the table of `docs/settings.md`: names, defaults and bounds from `Settings`, meanings from
`.env.example`. Run after a change to either: python -m scripts.settings_table
"""

import re
from itertools import groupby
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from app.settings import ROOT, Settings

PAGE = ROOT / "docs" / "settings.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"


def table() -> str:
    """Return the whole table in Markdown; settings that share a meaning share a row."""
    meanings = _meanings()
    lines = ["| setting | default | values | meaning |", "|---|---|---|---|"]
    rows = [(meanings.get(name.upper(), ""), name) for name in Settings.model_fields]
    for meaning, group in groupby(rows, key=lambda row: row[0] or row[1]):
        names = [name for _, name in group]
        fields = [Settings.model_fields[name] for name in names]
        cells = (
            _stacked([f"`{name.upper()}`" for name in names]),
            _stacked([_default(field) for field in fields]),
            _stacked([_values(field) for field in fields]),
            meaning,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Return the page with the current table."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def _stacked(cells: list[str]) -> str:
    """Return the cells of a row one below the other, once where all are the same."""
    return cells[0] if len(set(cells)) == 1 else "<br>".join(cells)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = str(value).removeprefix(f"{ROOT}/")
    return f"`{text.removesuffix('.0')}`"


def _values(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "`true`, `false`"
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    bounds = {type(each): each for each in _metadata(field)}
    low = bounds[Ge].ge if Ge in bounds else bounds[Gt].gt if Gt in bounds else None
    high = bounds[Le].le if Le in bounds else None
    if low is None:
        return ""
    above = "over" if Gt in bounds else "at least"
    return f"{above} {low:,}" if high is None else f"{above} {low:,}, at most {high:,}"


def _metadata(field: FieldInfo) -> list[Any]:
    """Return the bounds, of an optional field too."""
    inner = [
        each for part in get_args(field.annotation) for each in getattr(part, "__metadata__", ())
    ]
    nested = [each for info in inner if isinstance(info, FieldInfo) for each in info.metadata]
    return [*field.metadata, *nested]


def _meanings() -> dict[str, str]:
    """Return for each variable the comment above it or above the variables before it."""
    meanings: dict[str, str] = {}
    comment: list[str] = []
    fresh = True
    for line in (ROOT / ".env.example").read_text().splitlines():
        text = line.removeprefix("#").strip()
        if match := re.fullmatch(r"([A-Z_]+)=.*", text):
            meanings[match[1]] = " ".join(comment)
            fresh = True
        elif not text or text.startswith("---"):
            comment = []
        else:
            comment = [text] if fresh else [*comment, text]
            fresh = False
    return meanings


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
