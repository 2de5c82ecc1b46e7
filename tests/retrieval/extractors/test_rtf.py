import pytest

from app.errors import DocumentRejected
from app.retrieval.preparation import prepare

TARIFFS = rb"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Calibri;}}{\info{\title Tarif 2026}}
\pard\b Tariffe\b0\par Citt\'e0 \u8364?10.000{\super 1}\par{\v SEGRETO}{\*\generator X;}
\trowd\cellx1000\cellx2000\pard\intbl Kode\cell Tarif\cell\row
\trowd\cellx1000\cellx2000\pard\intbl A1\cell 2.000.000\cell\row
\pard Modal {\b 10}.000.000{\footnote terreno escluso}\emdash
{\field{\*\fldinst HYPERLINK "http://a"}{\fldrslt portale}}\par 500 m{\super 2}\par}"""
RUSSIAN = (
    rb"{\rtf1\ansi\ansicpg1251 \'cc\'e8\'ed\'e8\'ec\'e0\'eb\'fc\'ed\'fb\'e9\par 1\tab 2\line 3}"
)


def test_text_tables_and_notes_are_read() -> None:
    prepared = prepare(TARIFFS, "tarif.rtf")
    text = prepared.loaded.text
    assert prepared.loaded.title == "Tarif 2026"
    for words in (
        *("Città €10.000[^1]", "| Kode | Tarif |", "| A1 | 2.000.000 |", "500 m²", "portale"),
        "Modal 10.000.000 (footnote: terreno escluso)",
    ):
        assert words in text
    assert not [words for words in ("SEGRETO", "HYPERLINK", "Calibri") if words in text]
    assert [str(w) for w in prepared.warnings] == ["1 pieces of hidden text are left out"]


def test_bytes_are_of_the_code_page_that_the_file_names() -> None:
    assert "Минимальный\n\n1 2" in prepare(RUSSIAN, "a.rtf").loaded.text


def test_each_sign_of_unicode_replaces_what_follows_it() -> None:
    content = rb"{\rtf1\uc1 \u1052\'3f\u1080? text \{5\} a\~b\_c\par}"
    assert "Ми text {5} a b-c" in prepare(content, "a.rtf").loaded.text


@pytest.mark.parametrize(
    ("content", "reason"),
    [(rb"{\rtf1 }", "holds no text"), (rb"{\rtf1 " + b"{" * 2000, "is nested too deeply")],
)
def test_what_cannot_be_read_is_rejected(content: bytes, reason: str) -> None:
    with pytest.raises(DocumentRejected, match=reason):
        prepare(content, "a.rtf")
