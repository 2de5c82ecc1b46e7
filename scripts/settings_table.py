"""Writes the README's table of settings: names, defaults and bounds from `Settings`, meanings from
`.env.example`. Run after a change to either: python -m scripts.settings_table
"""

import re
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from app.settings import ROOT, Settings

README = ROOT / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"


def table() -> str:
    """The whole table, in Markdown."""
    meanings = _meanings()
    lines = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = name.upper()
        cells = (f"`{variable}`", _default(field), _values(field), meanings.get(variable, ""))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """The README with the table as it is now."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


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
    """The bounds, of an optional field too."""
    inner = [
        each for part in get_args(field.annotation) for each in getattr(part, "__metadata__", ())
    ]
    nested = [each for info in inner if isinstance(info, FieldInfo) for each in info.metadata]
    return [*field.metadata, *nested]


def _meanings() -> dict[str, str]:
    """The comment above each variable of `.env.example`, which the next ones share."""
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
    README.write_text(with_table(README.read_text()))
