"""JSON and JSON lines into Markdown: a section a record, a line a value."""

import json
import re
from collections.abc import Iterator
from typing import Any

from app.errors import DocumentRejected
from app.retrieval.extractors.encodings import decoded
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.fields import Field, blocks
from app.retrieval.warnings import DocumentWarning

MAX_RECORDS = 100_000
_MAX_NAME_CHARACTERS = 200
_CODES = ("kode", "code", "codice", "id", "kbli", "no", "nomor", "number", "numero", "pasal")
_NAMES = (
    *("title", "name", "question", "q", "label", "heading"),
    *("nama", "judul", "pertanyaan", "nome", "titolo", "domanda", "article", "articolo"),
)
_MARKUP = re.compile(r"<(?:p|br|div|ul|ol|li|h[1-6]|table|b|strong|em|i|a|span)\b[^>]*>", re.I)
_HEADING = re.compile(r"^(?P<marks>#{1,6})(?=[ \t])", re.M)
_GEOMETRY = ("coordinates", "bbox")

Record = tuple[str, Any]
"""The name that a record has where it is, or none; and the record."""


def extract(content: bytes) -> Extracted:
    """One document of JSON: the objects in it are records, under whatever wraps them."""
    text, warnings = decoded(content)
    try:
        value = _parsed(text, "")
    except DocumentRejected:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines):
            raise
        return extract_lines(content)
    return _as_markdown(list(_records("", value)), warnings)


def extract_lines(content: bytes) -> Extracted:
    """A record a line; lines that are none are left out with a warning, unless most are none.

    Raises `DocumentRejected`.
    """
    text, warnings = decoded(content)
    records: list[Record] = []
    faults: list[tuple[int, DocumentRejected]] = []
    for n, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                records.append(("", _parsed(line, f" in line {n}")))
            except DocumentRejected as error:
                faults.append((n, error))
    if faults and len(faults) >= len(records):
        raise faults[0][1]
    not_read = (DocumentWarning("not_read", str(error), f"line {n}") for n, error in faults)
    return _as_markdown(records, (*warnings, *not_read))


def of_value(value: Any) -> str:
    """The Markdown of what was parsed from another format with values of text."""
    return _as_markdown(list(_records("", value)), ()).text


def _parsed(text: str, where: str) -> Any:
    try:
        # Numbers as they are written: 0.10 stays so, and no length of digits costs anything.
        return json.loads(
            text,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
            object_pairs_hook=_with_every_value,
        )
    except json.JSONDecodeError as error:
        raise DocumentRejected(f"is not JSON{where}: {error}") from error
    except RecursionError as error:
        raise DocumentRejected(f"is nested too deeply{where}") from error


def _with_every_value(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of names that come twice the second is numbered."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        distinct, n = name, 1
        while distinct in values:
            n += 1
            distinct = f"{name} ({n})"
        values[distinct] = value
    return values


def _records(name: str, value: Any) -> Iterator[Record]:
    """The records in what wraps them: lists, or objects by their name, of objects."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        yield from (("", item) for item in value)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for item in value:
            yield from _wrapped("", item) if _is_wrapper(item, 1) else [("", item)]
    elif isinstance(value, list) and value and all(isinstance(i, list) for i in value):
        yield from (("", item) for item in value)
    else:
        yield from _wrapped(name, value)


def _wrapped(name: str, value: Any) -> Iterator[Record]:
    if not _is_wrapper(value, 2):
        yield name, value
        return
    own = {key: inner for key, inner in value.items() if not _holds_records(inner)}
    if own:
        yield name, own
    for key, inner in value.items():
        if _holds_records(inner):
            yield from _records(key, inner)


def _is_wrapper(value: Any, least: int) -> bool:
    if not isinstance(value, dict):
        return False
    lists = [v for v in value.values() if isinstance(v, list) and _holds_records(v)]
    objects = [v for v in value.values() if isinstance(v, dict) and v]
    scalars = len(value) - len(lists) - len(objects)
    if any(len(records) > 2 * scalars for records in lists) and least > 1:
        return True
    return (len(objects) >= least and not scalars) or (
        least > 1 and len(objects) == 1 and _is_wrapper(objects[0], 2)
    )


def _holds_records(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and bool(value)


def _as_markdown(records: list[Record], warnings: tuple[DocumentWarning, ...]) -> Extracted:
    if len(records) > MAX_RECORDS:
        raise DocumentRejected(f"has more than {MAX_RECORDS} records: split it")
    sections: list[str] = []
    for n, (name, record) in enumerate(records, start=1):
        heading = name or _name(record) or (f"Record {n}" if len(records) > 1 else "")
        sections += _sections(heading, record)
    if not sections:
        raise DocumentRejected("holds no values")
    return Extracted("\n\n".join(sections) + "\n", is_markdown=True, warnings=warnings)


def _sections(heading: str, record: Any) -> Iterator[str]:
    """The record's lines, in parts that each have its heading, then its long texts."""
    fields: list[Field] = []
    texts: list[Field] = []
    for path, value in _values(record, ""):
        is_text = "\n" in value.strip() or _MARKUP.search(value)
        (texts if is_text else fields).append(
            (path, " ".join(value.split()) if not is_text else value)
        )
    prefix = f"## {heading}\n\n" if heading else ""
    for block in blocks(fields):
        yield prefix + block
    for path, value in texts:
        yield _text_section(prefix, path, _as_text(value))


def _text_section(prefix: str, path: str, text: str) -> str:
    deeper = _HEADING.sub(lambda m: "#" * min(len(m["marks"]) + 3, 6), text)
    return f"{prefix}### {path}\n\n{deeper}" if path else f"{prefix}{deeper}"


def _as_text(value: str) -> str:
    if not _MARKUP.search(value):
        return value.strip()
    # Loads an HTML parser: only for those that hold HTML.
    from app.retrieval.extractors import html

    return html.fragment(value).strip()


def _name(record: Any) -> str:
    if not isinstance(record, dict):
        return ""
    by_name = {str(name).casefold(): value for name, value in record.items()}

    def first(names: tuple[str, ...]) -> str:
        values = (by_name.get(name) for name in names)
        return next((v for v in values if isinstance(v, str) and v.strip()), "")

    name = " ".join(dict.fromkeys(filter(None, (first(_CODES), first(_NAMES)))))
    return " ".join(name.split())[:_MAX_NAME_CHARACTERS]


def _values(value: Any, path: str) -> Iterator[Field]:
    match value:
        case dict():
            for name, inner in value.items():
                if name not in _GEOMETRY:
                    yield from _values(inner, f"{path}.{name}" if path else str(name))
        case list() if all(isinstance(item, str) for item in value):
            if any(value):
                yield path, ", ".join(value)
        case list():
            for n, inner in enumerate(value, start=1):
                yield from _values(inner, f"{path} {n}".strip())
        case None | "":
            return
        case _:
            yield path, ("yes" if value else "no") if isinstance(value, bool) else str(value)
