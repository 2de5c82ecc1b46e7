from dataclasses import replace

import pytest

from app.events import Passage
from app.retrieval.passage_weights import weight, without_copies

PASSAGE = Passage("law", "Law", "Pasal 1", "Setiap orang wajib.", 1.0, 0, 10, "id")


@pytest.mark.parametrize(
    "question",
    [
        "Pajak hotel di Kabupaten Badung?",
        "What does the city of Denpasar ask for?",
        "Quali permessi chiede la provincia di Bali?",
    ],
)
def test_a_regional_regulation_counts_less_unless_a_region_is_asked_for(question: str) -> None:
    regional = replace(PASSAGE, jurisdiction="regional")

    assert weight(regional, "Berapa pajak restoran?") < weight(PASSAGE, "Berapa pajak restoran?")
    assert weight(regional, question) == weight(PASSAGE, question) == 1.0


def test_the_law_of_the_country_counts_more_than_a_guide() -> None:
    law = replace(PASSAGE, jurisdiction="national")

    assert weight(law, "Apa?") > weight(PASSAGE, "Apa?")
    assert weight(replace(law, kind="explanation"), "Apa?") < weight(law, "Apa?")


def test_an_explanation_counts_less_than_its_article() -> None:
    explanation = replace(PASSAGE, kind="explanation")

    assert weight(explanation, "Apa?") < weight(PASSAGE, "Apa?")
    assert weight(replace(explanation, jurisdiction="regional"), "Apa?") < weight(
        explanation, "Apa?"
    )


def test_what_an_earlier_passage_says_word_for_word_is_left_out() -> None:
    copy = replace(PASSAGE, document_id="copy", text="SETIAP  orang\nwajib.")
    other = replace(PASSAGE, document_id="other", text="Setiap orang boleh.")

    kept = without_copies([PASSAGE, copy, other])

    assert [passage.document_id for passage in kept] == ["law", "other"]
