"""Files into text with a title, a language and what their front matter says."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import frontmatter
import yaml  # type: ignore[import-untyped]  # the package ships no types

from app.errors import DocumentRejected
from app.retrieval.chunking import first_heading
from app.retrieval.language import document_language

SUFFIXES = frozenset({".md", ".txt"})
MAX_BYTES = 20 * 1024 * 1024

# A part of every content hash: raise it when loading or chunking changes, and the
# next ingest replaces what the old code made. Vectors of unchanged chunks are kept.
_PIPELINE = b"2\0"

# Real folders hold these under `.md`; the signature may stand under a title line.
_FORMATS = {"%pdf-": "PDF", "{\\rtf": "RTF", "pk\x03\x04": "a zip archive"}
_HTML = ("<!doctype html", "<html")

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?=[A-Za-z_]+[ \t]*:).{0,16000}?\n---[ \t]*(?:\n|\Z)", re.S)
_LANGUAGE = re.compile(r"[a-z]{2,3}")

# 18 in 15,000 characters is the most that a sound text of the corpus holds;
# a PDF saved under a heading has one in ten.
_MAX_CONTROL_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file's text in NFC with LF line ends; what is to be indexed begins at `body_start`."""

    title: str
    language: str
    text: str
    body_start: int
    is_markdown: bool
    uri: str | None
    source: str | None
    effective_date: str | None
    checked: str | None


def read_file(path: Path) -> bytes:
    """The file's bytes. Raises `DocumentRejected` when it is too large or unreadable."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentRejected(f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise DocumentRejected(f"larger than {MAX_BYTES // 1024**2} MB")
    return content


def content_hash(content: bytes) -> str:
    """Changes when the file does, or the code that loads and cuts it."""
    return sha256(_PIPELINE + content).hexdigest()


def parse(content: bytes, path: Path) -> LoadedFile:
    """Raises `DocumentRejected` with a line that says why it cannot be indexed."""
    text = _decode(content)
    front_matter = _FRONT_MATTER.match(text)
    body_start = front_matter.end() if front_matter else 0
    metadata = _metadata(front_matter.group()) if front_matter else {}
    body = text[body_start:]
    if not body.strip():
        raise DocumentRejected("is empty")
    is_markdown = path.suffix.lower() == ".md"
    heading = first_heading(body) if is_markdown else None
    return LoadedFile(
        title=_string(metadata, "title") or heading or path.stem,
        language=_language(metadata) or document_language(body),
        text=text,
        body_start=body_start,
        is_markdown=is_markdown,
        uri=_uri(metadata),
        source=_string(metadata, "source"),
        effective_date=_date(metadata, "effective_date"),
        checked=_date(metadata, "checked"),
    )


def _decode(content: bytes) -> str:
    head = content[:1024].decode("latin-1").lower()
    for signature, name in _FORMATS.items():
        if signature in head:
            raise DocumentRejected(f"is {name}, not text")
    if head.lstrip("\ufeffï»¿ \t\r\n").startswith(_HTML):
        raise DocumentRejected("is an HTML page, not text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentRejected(f"is not UTF-8 text (byte {error.start})") from error
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    controls = sum(unicodedata.category(c) == "Cc" and c not in "\n\t\f" for c in text)
    if "\0" in text or controls > _MAX_CONTROL_SHARE * len(text):
        raise DocumentRejected("holds binary data")
    return text


def _metadata(front_matter: str) -> dict[str, Any]:
    try:
        metadata, _ = frontmatter.parse(front_matter)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # ValueError: YAML has a date type, and 2025-02-30 is none.
        reason = str(error).replace("\n", " ")
        raise DocumentRejected(f"front matter is not YAML: {reason:.200}") from error
    return metadata


def _string(metadata: dict[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise DocumentRejected(f"front matter: {key} is not a text")
    # One line, so that it can stand in a prompt and in a log.
    return " ".join(str(value).split()) or None


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
    value = metadata.get(key)
    if value is None:
        return None
    if isinstance(value, date):
        return value.isoformat()[:10]
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError as error:
        raise DocumentRejected(f"front matter: {key} is not a date like 2025-06-30") from error
