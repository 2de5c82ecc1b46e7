import json

import pytest

from app.errors import DocumentRejected
from app.retrieval.extractors import extract, json_records
from app.retrieval.extractors.formats import Format

RECORDS = [
    {"name": "E33G", "days": 365, "tags": ["remote", "work"], "fee": {"usd": 10.50, "idr": None}},
    {"name": "C1", "open": True, "steps": [{"do": "apply"}, {"do": "pay"}]},
]
TEXT = """\
## E33G

name: E33G
days: 365
tags: remote, work
fee.usd: 10.5

## C1

name: C1
open: yes
steps 1.do: apply
steps 2.do: pay
"""


def test_each_record_is_a_section_and_each_value_a_line() -> None:
    for value in (RECORDS, {"visas": RECORDS}):
        assert extract(json.dumps(value).encode(), Format.JSON).text == TEXT
    lines = "\n".join(json.dumps(record) for record in RECORDS)
    assert extract(f"{lines}\n\n".encode(), Format.JSONL).text == TEXT


def test_one_object_is_one_record_and_nameless_ones_are_numbered() -> None:
    assert extract(b'{"a": {"b": 1, "c": "x"}, "d": 2}', Format.JSON).text == (
        "a.b: 1\na.c: x\nd: 2\n"
    )
    assert extract(b'[{"a": 1}, {"a": 2}]', Format.JSON).text == (
        "## Record 1\n\na: 1\n\n## Record 2\n\na: 2\n"
    )


def test_numbers_stay_as_they_are_written() -> None:
    digits = "9" * 700
    text = extract(f'{{"a": 0.10, "b": {digits}, "c": NaN}}'.encode(), Format.JSON).text
    assert text == f"a: 0.10\nb: {digits}\nc: NaN\n"
    assert extract(f'{{"a": {"9" * 5_000}}}'.encode(), Format.JSON).text.count("9") == 5_000


@pytest.mark.parametrize(
    ("content", "file_format", "reason"),
    [
        (b"{", Format.JSON, "is not JSON: "),
        (b'{"a": 1}\n{"a": \n', Format.JSONL, "is not JSON in line 2: "),
        (b"[" * 100_000, Format.JSON, "is nested too deeply"),
        (b'{"a": null, "b": []}', Format.JSON, "holds no values"),
    ],
)
def test_what_holds_no_records_is_refused(content: bytes, file_format: Format, reason: str) -> None:
    with pytest.raises(DocumentRejected, match=reason):
        extract(content, file_format)


def test_records_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "MAX_RECORDS", 2)
    with pytest.raises(DocumentRejected, match="more than 2 records"):
        extract(b"[1, 2, 3]", Format.JSON)
