import pytest

from app.retrieval.passage_weights import weighing


@pytest.mark.parametrize(
    "question",
    [
        "Pajak hotel di Kabupaten Badung?",
        "What does the city of Denpasar ask for?",
        "Quali permessi chiede la provincia di Bali?",
    ],
)
def test_a_regional_regulation_counts_less_unless_a_region_is_asked_for(question: str) -> None:
    assert weighing("Berapa pajak restoran?")("regional", explains=False) < 1.0
    assert weighing(question)("regional", explains=False) == 1.0


def test_the_law_of_the_country_counts_more_than_a_guide() -> None:
    weigh = weighing("Apa?")

    assert weigh("national", explains=False) > weigh(None, explains=False) == 1.0


def test_an_explanation_counts_less_than_its_article() -> None:
    weigh = weighing("Apa?")

    assert weigh("national", explains=True) < weigh("national", explains=False)
    assert weigh(None, explains=True) < 1.0
    assert weigh("regional", explains=True) < weigh(None, explains=True)
