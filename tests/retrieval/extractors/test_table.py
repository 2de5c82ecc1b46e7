import csv
import io

import pytest

from app.errors import DocumentRejected
from app.retrieval.extractors import extract, table
from app.retrieval.extractors.formats import Format
from app.retrieval.preparation import prepare

ROWS = "Code: 56101\nName: Restaurant\nRisk: Low\n\nCode: 55130\nName: Villa, with pool\n"


@pytest.mark.parametrize(
    "content",
    [
        'Code,Name,Risk\n56101,Restaurant,Low\n55130,"Villa, with pool",\n',
        "\ufeffCode;Name;Risk\r\n56101;Restaurant;Low\r\n55130;Villa, with pool;\r\n",
        "Code\tName\tRisk\n56101\tRestaurant\tLow\n55130\tVilla, with pool\t\n",
    ],
)
def test_each_row_is_a_paragraph_that_names_its_columns(content: str) -> None:
    assert extract(content.encode(), Format.CSV).text == ROWS


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_cells_are_whole_whatever_they_hold(separator: str) -> None:
    cells = [["Nome", "Nota"], ["società \"PT\nPMA\"; l'altra, d'impresa", "un 'KITAS' | a\tb"]]
    sheet = io.StringIO()
    csv.writer(sheet, delimiter=separator).writerows(cells)

    assert extract(sheet.getvalue().encode(), Format.CSV).text == (
        "Nome: società \"PT PMA\"; l'altra, d'impresa\nNota: un 'KITAS' | a b\n"
    )


def test_the_separator_is_what_cuts_the_rows_alike() -> None:
    rows = "Codice;Voci (una, due, tre, quattro)\n56101;ristorante, bar\n55130;villa\n"
    assert extract(rows.encode(), Format.CSV).text == (
        "Codice: 56101\nVoci (una, due, tre, quattro): ristorante, bar\n\n"
        "Codice: 55130\nVoci (una, due, tre, quattro): villa\n"
    )


def test_a_title_above_the_names_does_not_hide_the_cells() -> None:
    rows = 'Listino\nVoce;"Prezzo, IVA"\nVisto;"1.000"\n'
    assert extract(rows.encode(), Format.CSV).text == (
        "Listino\n\nVoce: Visto\nPrezzo, IVA: 1.000\n"
    )


def test_what_excel_saves_as_unicode_is_read() -> None:
    content = "Code\tName\n56101\tRistò\n".encode("utf-16")
    assert extract(content, Format.CSV).text == "Code: 56101\nName: Ristò\n"


def test_one_column_and_surplus_cells_are_kept() -> None:
    assert extract(b"Code\n56101\n55130\n", Format.CSV).text == "Code: 56101\n\nCode: 55130\n"
    assert extract(b"A,B\n1,2,3\n4,5\n", Format.CSV).text == "A: 1\nB: 2\n3\n\nA: 4\nB: 5\n"


def test_no_rows_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DocumentRejected, match="no rows below its first"):
        extract(b"Code,Name\n", Format.CSV)
    monkeypatch.setattr(table, "MAX_ROWS", 2)
    with pytest.raises(DocumentRejected, match="more than 2 rows"):
        extract(b"A,B\n1,2\n3,4\n5,6\n", Format.CSV)
    with pytest.raises(DocumentRejected, match="is not CSV: field larger than"):
        extract(b"A,B\n" + b"x" * 200_000 + b",1\n", Format.CSV)


def test_what_ends_a_line_for_unicode_alone_ends_no_row() -> None:
    content = "A,B\n1,x\u2028y\u2029z\n2,w\n"
    assert extract(content.encode(), Format.CSV).text == "A: 1\nB: x y z\n\nA: 2\nB: w\n"


def test_a_long_row_has_its_key_in_each_passage() -> None:
    words = "usaha budi daya unggas lainnya, seperti kalkun dan angsa; "
    rows = "".join(f'0146{n},Nama {n},"{words * 40}"\n' for n in range(3))
    content = f"kode,nama,uraian\n{rows}"
    chunks = prepare(content.encode(), "kbli.csv").chunks
    assert len(chunks) >= 9
    assert all(chunk.text.startswith("kode: 0146") for chunk in chunks)


@pytest.mark.parametrize(
    ("content", "text", "warning"),
    [
        ("sep=;\nA;B\n1;2\n", "A: 1\nB: 2\n", None),
        ("A1;Visa;200\nA2;KITAS;300\n", "A1 | Visa | 200\n\nA2 | KITAS | 300\n", None),
        ("T,T\n10,20\n", "T: 10\nT (b): 20\n", None),
        ('A,B\n"x,1\ny,2\n', 'A: "x\nB: 1\n\nA: y\nB: 2\n', "a quotation mark is not closed"),
    ],
)
def test_the_dialect_is_recognised(content: str, text: str, warning: str | None) -> None:
    extracted = extract(content.encode(), Format.CSV)
    assert extracted.text == text
    assert [w.detail.partition(":")[0] for w in extracted.warnings] == (
        [warning] if warning else []
    )


def test_more_columns_than_any_sheet_has_are_refused() -> None:
    names = ",".join(map(str, range(table.MAX_COLUMNS + 1)))
    with pytest.raises(DocumentRejected, match="more than 16384 columns"):
        extract(f"{names}\n{names}\n".encode(), Format.CSV)
