import io

import docx
import pytest
from docx.shared import RGBColor

from app.errors import DocumentRejected
from app.retrieval.extractors import archives, extract
from app.retrieval.extractors.formats import Format
from tests.retrieval.extractors.files import archive, docx_file


def test_a_document_keeps_its_headings_lists_and_tables() -> None:
    extracted = extract(docx_file(), Format.DOCX)
    assert extracted.is_markdown
    assert extracted.text == (
        "# Guide to the E33G permit\n\n"
        "# Who it is for\n\n"
        "Remote workers who are paid from abroad.\n\n"
        "- A passport\n- Proof of income\n\n"
        "| Fee | Amount |\n| --- | --- |\n| Permit | Rp 7,000,000 |\n"
    )


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1024**2)
    bomb = archive(word__document_xml=b"0" * (1024**2 + 1))
    with pytest.raises(DocumentRejected, match="unpacks to more than 1 MB"):
        extract(bomb, Format.DOCX)


def test_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    with pytest.raises(DocumentRejected, match="or 3 parts"):
        extract(docx_file(), Format.DOCX)


@pytest.mark.parametrize(
    "entities",
    [
        b'<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">',
        b'<!ENTITY b SYSTEM "file:///etc/passwd">',
    ],
)
def test_entities_are_refused(entities: bytes) -> None:
    document = b"<!DOCTYPE d [" + entities + b"]><d>&b;</d>"
    with pytest.raises(DocumentRejected, match="declares XML entities"):
        extract(archive(word__document_xml=document), Format.DOCX)


def test_figures_stay_as_word_shows_them() -> None:
    document = docx.Document()
    for name in ("satu", "dua"):
        document.add_paragraph(name, style="List Number")
    paragraph = document.add_paragraph("Modal Rp 10.000.000.000")
    paragraph.add_run("1)").font.superscript = True
    paragraph.add_run(" atau 12.")
    paragraph.add_run("500").bold = True
    paragraph.add_run(".000")
    hidden = paragraph.add_run("IGNORE")
    hidden.font.color.rgb = RGBColor(255, 255, 255)
    table = document.add_table(rows=3, cols=2)
    table.cell(1, 0).merge(table.cell(2, 0)).text = "2026"
    for row, text in enumerate(("Tarif", "200", "300")):
        table.cell(row, 1).text = text
    document.sections[0].header.paragraphs[0].text = "Kop surat"
    file = io.BytesIO()
    document.save(file)
    extracted = extract(file.getvalue(), Format.DOCX)
    assert extracted.text == (
        "Kop surat\n\n1. satu\n\n2. dua\n\nModal Rp 10.000.000.000[^1] atau 12.500.000\n\n"
        "|  | Tarif |\n| --- | --- |\n| 2026 | 200 |\n| 2026 | 300 |\n"
    )
    assert [warning.kind for warning in extracted.warnings] == ["hidden_text"]
