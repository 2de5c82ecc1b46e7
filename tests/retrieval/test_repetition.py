import pytest

from app.events import Passage
from app.retrieval.repetition import without_copies

ARTICLE = (
    "Setiap orang asing yang berada di wilayah Indonesia wajib memiliki izin tinggal yang sah dan "
    "masih berlaku, kecuali ditentukan lain oleh undang-undang ini atau perjanjian internasional."
)


def kept(*texts: str) -> list[int]:
    passages = [Passage(f"{n}", "", "", text, 1.0, 0, 9, "id") for n, text in enumerate(texts)]
    return [int(passage.document_id) for passage in without_copies(passages)]


@pytest.mark.parametrize(
    "copy",
    [
        ARTICLE.upper().replace(" ", "\n"),
        ARTICLE.replace("wajib", "harus").replace("internasional", "antarnegara"),
        f"{ARTICLE} (Ayat satu.)",
    ],
    ids=["word-for-word", "other-words", "more-words"],
)
def test_what_an_earlier_passage_says_is_left_out(copy: str) -> None:
    assert kept(ARTICLE, copy, "Izin tinggal terbatas.") == [0, 2]


@pytest.mark.parametrize(
    "other",
    [
        ARTICLE.replace("wajib memiliki", "tidak wajib memiliki"),
        ARTICLE.replace("Setiap", "1 Setiap"),
        " ".join(ARTICLE.split()[:15]),
    ],
    ids=["the-contrary", "another-number", "the-half-of-it"],
)
def test_what_differs_in_what_it_says_is_kept(other: str) -> None:
    assert kept(ARTICLE, other) == [0, 1]
    assert kept(other, ARTICLE) == [0, 1]


def test_rows_of_a_table_that_differ_in_their_numbers_are_kept() -> None:
    rows = [f"KBLI 5610{n}: restaurants, risk low, open to foreign investors" for n in range(3)]
    assert kept(*rows) == [0, 1, 2]
