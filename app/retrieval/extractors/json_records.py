"""JSON and JSON lines into Markdown: a section a record, a line a value."""

import json
from collections.abc import Iterator
from typing import Any

from app.errors import DocumentRejected
from app.retrieval.extractors.extracted import Extracted, decoded

MAX_RECORDS = 100_000
_NAMES = ("title", "name", "question", "id")


def extract(content: bytes) -> Extracted:
    """One document of JSON; a list at its top, or under its only name, is a list of records."""
    value = _parsed(decoded(content), "")
    if isinstance(value, dict) and len(value) == 1:
        (only,) = value.values()
        value = only if isinstance(only, list) else value
    return _as_markdown(value if isinstance(value, list) else [value])


def extract_lines(content: bytes) -> Extracted:
    """A record a line. Raises `DocumentRejected` with the line that is none."""
    lines = enumerate(decoded(content).split("\n"), start=1)
    return _as_markdown([_parsed(line, f" in line {n}") for n, line in lines if line.strip()])


def _parsed(text: str, where: str) -> Any:
    try:
        # Numbers as they are written: 0.10 stays so, and no length of digits costs anything.
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise DocumentRejected(f"is not JSON{where}: {error}") from error
    except RecursionError as error:
        raise DocumentRejected(f"is nested too deeply{where}") from error


def _as_markdown(records: list[Any]) -> Extracted:
    if len(records) > MAX_RECORDS:
        raise DocumentRejected(f"has more than {MAX_RECORDS} records: split it")
    only_one = len(records) == 1
    sections = []
    for n, record in enumerate(records, start=1):
        lines = list(_lines(record, ""))
        if lines:
            heading = _name(record) or (None if only_one else f"Record {n}")
            sections.append("\n".join([f"## {heading}\n", *lines] if heading else lines))
    if not sections:
        raise DocumentRejected("holds no values")
    return Extracted("\n\n".join(sections) + "\n", is_markdown=True)


def _name(record: Any) -> str | None:
    if not isinstance(record, dict):
        return None
    values = (record.get(name) for name in _NAMES)
    return next(
        (" ".join(v.split())[:200] for v in values if isinstance(v, str) and v.strip()), None
    )


def _lines(value: Any, path: str) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _lines(inner, f"{path}.{name}" if path else name)
        case list() if all(isinstance(item, str) for item in value):
            yield from _lines(", ".join(value), path)
        case list():
            for n, inner in enumerate(value, start=1):
                yield from _lines(inner, f"{path} {n}".strip())
        case None | "":
            return
        case _:
            text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            yield f"{path}: {text}" if path else text
