import pytest

from app.retrieval.personal_data import account_numbers, identity_numbers
from tests.shared import corpus


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NIK: 3171011708450001", "an Indonesian identity number (NIK)"),
        ("C.F. RSSMRA80A01H501U", "an Italian codice fiscale"),
        ("card 4111 1111 1111 1111, 12/29", "a payment card's number"),
        ("Nomor Paspor: X1234567", "a passport's number"),
        ("Passport No. AB123456", "a passport's number"),
        ("P<IDNWIJAYA<<BUDI<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "a passport's number"),
    ],
)
def test_a_person_s_number_is_noticed(text: str, kind: str) -> None:
    assert identity_numbers(f"Nama: Budi\n{text}\n") == [kind]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NPWP 01.312.166.0-091.000", "an Indonesian tax number (NPWP)"),
        ("IBAN IT60 X054 2811 1010 0000 0123 456", "a bank account (IBAN)"),
    ],
)
def test_an_account_is_noticed(text: str, kind: str) -> None:
    assert account_numbers(text) == [kind]
    assert identity_numbers(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "NIK 1234567890123456",
        "NPWP 01.234.567.8-901.000",
        "card 4111 1111 1111 1112",
        "A passport number is required.",
        "Rp 10.000.000.000,00 untuk 5105 unit",
        "RSSMRA80A01H501X",
    ],
)
def test_other_numbers_and_examples_are_not(text: str) -> None:
    assert identity_numbers(text) == []
    assert account_numbers(text) == []


def test_no_text_of_the_corpus_is_taken_for_a_personal_one() -> None:
    paths = [*corpus("laws").glob("*.md"), *corpus("guides").glob("*.md")]
    assert [p.name for p in paths if identity_numbers(p.read_text())] == []
