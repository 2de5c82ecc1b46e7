"""What a Markdown or text file says of itself, in YAML or TOML at its top.

One bad field costs that field: what cannot be understood is a warning.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Any

import yaml

from app.retrieval.dates import written_date
from app.retrieval.language import named_language
from app.retrieval.warnings import DocumentWarning

_YAML = re.compile(
    r"\s*---[ \t]*\n(?P<block>.{0,16000}?)\n?^(?:---|\.\.\.)[ \t]*(?:\n|\Z)",
    re.S | re.M,
)
_TOML = re.compile(r"\s*\+\+\+[ \t]*\n(?P<block>.{0,16000}?)\n?^\+\+\+[ \t]*(?:\n|\Z)", re.S | re.M)
_FIELD = re.compile(r"(?P<key>[^\W\d][\w \t-]{0,40}?)[ \t]*[:=][ \t]*(?P<value>.*)")
_NOTHING = ("", "~", "null")
_PLACE = "front matter"

_FIELDS = {
    "title": ("title", "titolo", "judul"),
    "language": ("language", "lang", "locale", "lingua", "bahasa"),
    "uri": ("uri", "url", "canonical_url", "permalink", "link"),
    "source": ("source", "fonte", "sumber"),
    "effective_date": (
        *("effective_date", "effective", "effective_from", "valid_from", "in_force_from"),
        *("in_vigore", "in_vigore_dal", "data_di_entrata_in_vigore", "decorrenza"),
        *("berlaku", "berlaku_sejak", "mulai_berlaku", "tanggal_berlaku"),
    ),
    "checked": ("checked", "last_checked", "verified"),
    "supersedes": ("supersedes",),
}
_OTHER_FIELDS = (
    "tags aliases created updated modified date author authors draft description categories "
    "keywords slug layout publish published weight type id summary cssclass"
)
_KNOWN = frozenset([*_OTHER_FIELDS.split(), *(n for names in _FIELDS.values() for n in names)])


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """`length` is how many characters of the text it takes; dates are ISO.

    `supersedes` is the id of the document that this one replaces.
    """

    length: int = 0
    title: str | None = None
    language: str | None = None
    uri: str | None = None
    source: str | None = None
    effective_date: str | None = None
    checked: str | None = None
    supersedes: str | None = None
    warnings: tuple[DocumentWarning, ...] = ()


def read(text: str) -> FrontMatter:
    """The text's front matter; an empty one when it has none."""
    yaml_block, toml_block = _YAML.match(text), _TOML.match(text)
    block = toml_block or yaml_block
    if not block:
        return FrontMatter()
    fields = _Fields()
    parsed = _parsed_toml(block["block"]) if toml_block else _parsed_yaml(block["block"])
    if parsed is None:
        parsed = _by_line(block["block"])
        # A rule above a text that is no front matter.
        if not parsed.keys() & _KNOWN:
            return FrontMatter()
        fields.warn(f"is not valid {'TOML' if toml_block else 'YAML'}: read line by line")
    if not parsed:
        return FrontMatter()
    fields.values = parsed
    return FrontMatter(
        length=block.end(),
        title=fields.line("title"),
        language=fields.language(),
        uri=fields.uri(),
        source=fields.line("source"),
        effective_date=fields.date("effective_date"),
        checked=fields.date("checked"),
        supersedes=fields.line("supersedes"),
        warnings=tuple(fields.warnings),
    )


class _Fields:
    """The fields under their normalised names, and what could not be understood of them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.warnings: list[DocumentWarning] = []

    def warn(self, detail: str) -> None:
        self.warnings.append(DocumentWarning("metadata", detail, _PLACE))

    def _lines(self, field: str) -> list[str]:
        lines = []
        for name in _FIELDS[field]:
            value = self.values.get(name, "")
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if not isinstance(value, str):
                self.warn(f"{name} is not a text")
                continue
            # One line, so that it can stand in a prompt and in a log.
            line = " ".join(value.split())
            if line not in _NOTHING:
                lines.append(line)
        return lines

    def line(self, field: str) -> str | None:
        return next(iter(self._lines(field)), None)

    def language(self) -> str | None:
        lines = self._lines("language")
        found = next(filter(None, map(named_language, lines)), None)
        if lines and not found:
            self.warn(f"{lines[0][:40]!r} is not a language such as en, it or id")
        return found

    def uri(self) -> str | None:
        lines = self._lines("uri")
        found = next((line for line in lines if line.startswith(("https://", "http://"))), None)
        if not found and self.values.get("uri") in lines:
            self.warn("uri does not start with https:// or http://")
        return found

    def date(self, field: str) -> str | None:
        line = self.line(field)
        found = written_date(line) if line else None
        if line and not found:
            self.warn(f"{field} {line[:40]!r} is not a date like 2025-06-30")
        return found


def _key(name: object) -> str:
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name).strip())
    return re.sub(r"[\s_-]+", "_", snake.casefold())


def _parsed_yaml(block: str) -> dict[str, Any] | None:
    # Tabs are no indentation in YAML; every value is the text that it is, since what YAML would
    # make of it is hostile: merged mappings fill any memory, and numbers have no bound.
    try:
        parsed = yaml.load(block.replace("\t", "  "), Loader=yaml.CBaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    return {_key(name): value for name, value in parsed.items()}


def _parsed_toml(block: str) -> dict[str, Any] | None:
    try:
        parsed = tomllib.loads(block, parse_float=str)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return None
    kept = (str, list, dict)
    return {_key(n): v if isinstance(v, kept) else str(v) for n, v in parsed.items()}


def _by_line(block: str) -> dict[str, Any]:
    """Each line that reads `key: value`, for a block that is not well-formed."""
    fields = (
        _FIELD.fullmatch(line) for line in block.split("\n") if not line.startswith((" ", "\t"))
    )
    return {_key(m["key"]): m["value"].strip().strip("\"'") for m in fields if m}
