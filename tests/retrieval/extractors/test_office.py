"""Files of office programs, as XlsxWriter, python-pptx and odfpy write them."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from app.errors import DocumentRejected
from app.retrieval.extractors.formats import format_of
from app.retrieval.preparation import prepare

DATA = Path(__file__).parent / "data"
MAIL = (
    "From: a@example.org\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Tariffa_=C3=A8_nuova?=\r\n"
    'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n'
    "Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    "\r\n<p>La tariffa =E8 di <b>9.000.000</b> rupie.</p>\r\n--x\r\n"
    'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="a.pdf"\r\n\r\n'
    "x\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("name", "holds", "lacks"),
    [
        (
            "prices.xlsx",
            [
                *("## Listino", "Kode: 01463", "Prezzo: 12500000", "IVA: 11%", "IVA: 12.5%"),
                *("Prezzo: 1000000.5", "Dal: 2025-10-02", "Voce: PPh\nDal: 11"),
            ],
            ["SEGRETO"],
        ),
        ("tariffs.ods", ["## Tarif", "Kode: 56101\nTarif: 2.000.000"], []),
        ("tariffs.xls", ["Kode: A2\nNama: Città\nTarif: 12500.5", "Tarif: 2026-03-01"], []),
        (
            "looks.xlsx",
            ["Visto: C1\nTariffa 1 anno: 2000000\nTariffa 2 anni: 3500000", "Kode pos: 00361"],
            ["SEGRETO", "Visto: Visto"],
        ),
        ("slides.pptx", ["Slide 1: Visto C1", "Dura 60 giorni", "| E33G | 13.000.000 |"], []),
        ("slides.pptx", ["Prorogabile 2 volte"], []),
        ("guide.odt", ["# Guida al KITAS", "miliardi (note: Escluso il terreno) di rupie"], []),
        ("guide.odt", ["- Passaporto", "| C1 | 60 |"], []),
        ("book.epub", ["# Capitolo 1\n\nIl C1 dura 60 giorni.\n\n# Capitolo 2"], []),
    ],
)
def test_a_file_is_read(name: str, holds: list[str], lacks: list[str]) -> None:
    text = prepare((DATA / name).read_bytes(), name).loaded.text
    assert [words for words in holds if words not in text] == []
    assert [words for words in lacks if words in text] == []


def test_what_is_attached_to_a_message_is_read() -> None:
    message = EmailMessage()
    message["Subject"] = "Tariffe"
    message.set_content("In allegato il listino.")
    sheet = (DATA / "looks.xlsx").read_bytes()
    message.add_attachment(sheet, maintype="application", subtype="x", filename="listino.xlsx")
    message.add_attachment(b"MZ", maintype="application", subtype="x", filename="a.exe")
    message.add_attachment(b"Nota: 7 giorni", "text", "plain", filename="nota.txt")
    prepared = prepare(message.as_bytes(), "a.eml")
    text = prepared.loaded.text
    assert "In allegato il listino." in text
    assert "## listino.xlsx" in text
    assert "Tariffa 2 anni: 3500000" in text
    assert "## nota.txt\n\nNota: 7 giorni" in text
    warnings = [str(warning) for warning in prepared.warnings]
    assert "listino.xlsx, sheet Tariffe: 1 comments are left out" in warnings
    assert any(w.startswith("the attached file a.exe is not read: it is none of") for w in warnings)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.yaml", "visti:\n  - kode: C1\n    giorni: 060\n  - kode: D2\n    giorni: 1e3\n", "060"),
        ("a.xml", "<r><v id='C1'><giorni>60</giorni></v><v id='D2'/></r>", "giorni: 60"),
        ("a.eml", MAIL, "La tariffa è di **9.000.000** rupie."),
        ("a.geojson", '{"features":[{"properties":{"nama":"Bali"},"bbox":[1]}]}', "nama: Bali"),
        ("a.ndjson", '{"a":"x"}\n{"a":"y"}\n', "a: y"),
    ],
)
def test_a_text_of_a_format_is_read(name: str, content: str, text: str) -> None:
    assert text in prepare(content.encode(), name).loaded.text


def test_what_a_sheet_does_not_show_is_counted() -> None:
    found = prepare((DATA / "looks.xlsx").read_bytes(), "looks.xlsx").warnings
    assert [str(warning) for warning in found] == [
        "sheet Tariffe: 1 hidden rows or columns are left out",
        "sheet Tariffe: 1 formulas have no value in the file: "
        "open it in a spreadsheet program and save it",
        "sheet Tariffe: 1 comments are left out",
    ]


def test_what_is_not_read_is_named() -> None:
    hidden = prepare((DATA / "prices.xlsx").read_bytes(), "prices.xlsx").warnings
    assert [str(warning) for warning in hidden] == ["1 hidden sheets are left out: Interno"]
    attached = prepare(MAIL.encode(), "a.eml")
    assert attached.loaded.title == "Tariffa è nuova"
    assert "a.pdf is not read" in str(attached.warnings[0])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.doc", "save it as DOCX"),
        ("a.msg", "save it as EML"),
        ("a.zip", "unpack it"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(name: str, reason: str) -> None:
    with pytest.raises(DocumentRejected, match=reason):
        format_of(b"x", name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", "a: &a [x, x]\nb: [*a, *a]\n"),
        ("a.xml", "<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>"),
        ("a.xlsx", "PK"),
    ],
)
def test_what_is_hostile_is_refused(name: str, content: str) -> None:
    with pytest.raises(DocumentRejected):
        prepare(content.encode(), name)
