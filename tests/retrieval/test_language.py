import pytest

from app.retrieval.language import document_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Pemegang saham atas nama orang lain dilarang.", "id"),
        ("Izin tinggal terbatas berlaku satu tahun dan dapat diperpanjang.", "id"),
        ("Cukai pendapatan dikenakan ke atas syarikat bermastautin pada kadar 24 peratus.", "ms"),
        ("Il visto dura sessanta giorni e non si può prorogare.", "it"),
        ("Стоимость визы составляет двадцать миллионов рупий.", "ru"),
        ("12 345 %", "und"),
    ],
)
def test_a_document_s_language_is_told_and_indonesian_is_not_taken_for_malay(
    text: str, language: str
) -> None:
    assert document_language(text) == language
