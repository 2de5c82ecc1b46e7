"""What a Markdown or text file says of itself, in YAML between two `---` lines at its top."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import frontmatter
import yaml
from frontmatter.default_handlers import YAMLHandler

from app.errors import DocumentRejected

_BLOCK = re.compile(r"---[ \t]*\n(?=[A-Za-z_]+[ \t]*:).{0,16000}?\n---[ \t]*(?:\n|\Z)", re.S)
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_NOTHING = ("", "~", "null")


class _AsWritten(YAMLHandler):
    """Every value as the text that it is.

    What YAML would make of it is hostile: mappings merged into mappings fill any memory from
    five hundred characters, and numbers have no bound.
    """

    def load(self, fm: str, **_: Any) -> Any:
        return super().load(fm, Loader=yaml.CBaseLoader)


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


def read(text: str) -> FrontMatter:
    """An empty one when the text has none. Raises `DocumentRejected` when it is wrong."""
    block = _BLOCK.match(text)
    if not block:
        return FrontMatter()
    metadata = _metadata(block.group())
    return FrontMatter(
        length=block.end(),
        title=_string(metadata, "title"),
        language=_language(metadata),
        uri=_uri(metadata),
        source=_string(metadata, "source"),
        effective_date=_date(metadata, "effective_date"),
        checked=_date(metadata, "checked"),
        supersedes=_string(metadata, "supersedes"),
    )


def _metadata(front_matter: str) -> dict[str, Any]:
    try:
        metadata, _ = frontmatter.parse(front_matter, handler=_AsWritten())
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).replace("\n", " ")
        raise DocumentRejected(f"front matter is not YAML: {reason:.200}") from error
    return metadata


def _string(metadata: dict[str, Any], key: str) -> str | None:
    value = metadata.get(key, "")
    if not isinstance(value, str):
        raise DocumentRejected(f"front matter: {key} is not a text")
    # One line, so that it can stand in a prompt and in a log.
    line = " ".join(value.split())
    return None if line in _NOTHING else line


def _language(metadata: dict[str, Any]) -> str | None:
    language = _string(metadata, "language")
    if language is None:
        return None
    match = _LANGUAGE.match(language.lower())
    if not match:
        raise DocumentRejected("front matter: language is not a code such as en, it or id")
    return match.group()


def _uri(metadata: dict[str, Any]) -> str | None:
    uri = _string(metadata, "uri")
    if uri and not uri.startswith(("https://", "http://")):
        raise DocumentRejected("front matter: uri does not start with https:// or http://")
    return uri


def _date(metadata: dict[str, Any], key: str) -> str | None:
    written = _string(metadata, key)
    try:
        return written and datetime.fromisoformat(written).date().isoformat()
    except ValueError as error:
        raise DocumentRejected(f"front matter: {key} is not a date like 2025-06-30") from error
