from pathlib import Path

import pytest

from app.errors import DocumentRejected
from app.retrieval.extractors import extract, pdf
from app.retrieval.extractors.formats import Format
from tests.retrieval.extractors import files
from tests.shared import corpus

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("name", "pages", "on_page", "words"),
    [
        ("uu-1-1974.pdf", 39, 1, "MEMUTUSKAN :\n\nMenetapkan : UNDANG-UNDANG TENTANG PERKAWINAN"),
        ("se-imi-417.pdf", 5, 1, "NOMOR IMI-417.GR.01.01 TAHUN 2025"),
        ("permenkumham-26-2022.pdf", 31, 1, "NOMOR 26 TAHUN 2022"),
    ],
)
def test_a_published_law_is_read_page_by_page(
    name: str, pages: int, on_page: int, words: str
) -> None:
    extracted = extract(corpus(f"pdf/{name}").read_bytes(), Format.PDF)
    assert len(extracted.pages) == pages
    position = extracted.text.index(words)
    assert extracted.pages[on_page - 1] <= position < extracted.pages[on_page]
    assert "\r" not in extracted.text
    assert "\x02" not in extracted.text


def test_words_joined_at_a_line_s_end_keep_their_hyphen() -> None:
    text = extract(corpus("pdf/uu-1-1974.pdf").read_bytes(), Format.PDF).text
    assert "dalam peraturan perundang-undangan tersendiri" in text


def test_pages_begin_where_they_are_said_to() -> None:
    extracted = extract(files.pdf("Pasal 1", "Pasal 2"), Format.PDF)
    assert extracted.text == "Pasal 1\nPasal 2\n"
    assert extracted.pages == (0, 8)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (files.pdf("Pasal 1", encrypted=True), "is encrypted: save it without its password"),
        (files.pdf(""), "holds no text, only images"),
        (b"%PDF-1.7 and nothing else", "is a damaged PDF"),
    ],
)
def test_what_holds_no_text_is_rejected(content: bytes, reason: str) -> None:
    with pytest.raises(DocumentRejected, match=reason):
        extract(content, Format.PDF)


def test_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_PAGES", 2)
    assert extract(files.pdf("1", "2"), Format.PDF).pages
    with pytest.raises(DocumentRejected, match="has more than 2 pages"):
        extract(files.pdf("1", "2", "3"), Format.PDF)


@pytest.mark.parametrize(
    ("name", "holds", "lacks"),
    [
        ("note-marks.pdf", ["Rp 10.000.000.000[^1] per KBLI", "200 m²"], ["0001"]),
        ("hidden.pdf", ["Harga 12 juta", "Terlihat putih"], ["IGNORE"]),
        ("turned.pdf", ["Kode | Tarif\nC1 | 5.000.000"], []),
        ("ledger.pdf", ["Beban |  | 500 | (700)", "Total | 1.000 |  | 2.400"], []),
        ("ligatures.pdf", ["Efficiente finanza", "Rp 10.000[^1]"], ["0001"]),
        (
            "columns.pdf",
            ["si rinnova una volta\nsola presso ufficio"],
            ["soggiorno per gli SECONDO"],
        ),
    ],
)
def test_a_page_is_read_as_it_is_seen(name: str, holds: list[str], lacks: list[str]) -> None:
    text = extract((DATA / name).read_bytes(), Format.PDF).text
    assert [words for words in holds if words not in text] == []
    assert [words for words in lacks if words in text] == []


def test_what_cannot_be_seen_is_counted() -> None:
    (warning,) = extract((DATA / "hidden.pdf").read_bytes(), Format.PDF).warnings
    assert (warning.kind, warning.where) == ("hidden_text", "page 1")


def test_each_part_of_a_long_table_has_the_names_of_its_columns() -> None:
    extracted = extract((DATA / "long-table.pdf").read_bytes(), Format.PDF)
    parts = [part for part in extracted.text.split("No | Kode | Uraian | Tarif (Rp)\n")[1:] if part]
    assert len(parts) > 4
    assert all(len(part) < 1_000 for part in parts)
    assert "129 | 50129 | Layanan nomor 129 | 129.500.000" in parts[-1]
    assert extracted.text.count("KEMENTERIAN KEUANGAN") == 1
