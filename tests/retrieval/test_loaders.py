from pathlib import Path

import pytest

from app.errors import DocumentRejected
from app.retrieval.loaders import LoadedFile, parse
from app.retrieval.sources import MAX_BYTES, read_file

ITALIAN = "Lo straniero che investe in Indonesia costituisce di regola una società di capitali."


def load(content: bytes | str, name: str = "a-file.md") -> LoadedFile:
    raw = content.encode() if isinstance(content, str) else content
    return parse(raw, name)


def test_front_matter_is_read() -> None:
    loaded = load(
        "---\ntitle: Visas\nlanguage: EN-gb\nsource: UU 6/2011\nuri: https://example.org/visas\n"
        "effective_date: 2025-06-05\nchecked: '2026-11-22'\n---\nBody.\n"
    )
    assert (loaded.title, loaded.language, loaded.source) == ("Visas", "en", "UU 6/2011")
    assert (loaded.uri, loaded.effective_date) == ("https://example.org/visas", "2025-06-05")
    assert loaded.checked == "2026-11-22"
    assert loaded.text[loaded.body_start :] == "Body.\n"


def test_what_front_matter_says_is_the_text_that_stands_there() -> None:
    number = "0x" + "f" * 5000  # too long for Python to write down as a number
    said = load(f"---\ntitle: {number}\nsource: 007\nuri: ~\nchecked: 2026-11-22T10:00:00\n---\nB.")
    assert (said.title, said.source, said.uri) == (number[:300], "007", None)
    assert said.checked == "2026-11-22"
    assert load("---\ntitle: Yes\nlanguage: no\nunread: 1:1.5\n---\nB.").language == "no"


def test_without_front_matter_title_and_language_come_from_the_text() -> None:
    loaded = load(f"# Società\n\n{ITALIAN}\n")
    assert (loaded.title, loaded.language, loaded.body_start) == ("Società", "it", 0)


def test_without_a_heading_the_title_is_the_file_name() -> None:
    assert load("Perusahaan asing wajib berbentuk perseroan terbatas.", "x/pma.md").title == "pma"
    assert load("# remark\ntext", "notes.txt").title == "notes"


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert load("---\nJust a line above.\n---\nMore.\n").body_start == 0


def test_text_is_normalised() -> None:
    loaded = load("\ufeffcitta\u0300\r\nuno\rdue\n")
    assert loaded.text == "città\nuno\ndue\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"---\ntitle: T\n---\n \n", "is empty"),
        (b"%PDF-1.7\n...", "is PDF"),
        (b"# A heading\n\n%PDF-1.3\n3 0 obj", "is PDF"),
        (b"{\\rtf1\\ansi Pasal 1}", "is RTF"),
        (b"PK\x03\x04....", "is a damaged zip archive"),
        (b"\n<!DOCTYPE html><html>404</html>", "is HTML, not Markdown"),
        (b"text\x00text", "holds binary data"),
        (b"text \x01\x02\x03\x04 text", "holds binary data"),
    ],
)
def test_what_is_no_text_is_rejected_with_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(DocumentRejected, match=reason) as error:
        load(content)
    assert "\n" not in str(error.value)


def test_a_file_beyond_the_limit_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DocumentRejected, match="larger than 20 MB"):
        read_file(path)


def test_a_file_that_is_gone_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DocumentRejected, match="cannot be read: No such file"):
        read_file(tmp_path / "gone.md")
