import pytest

from app.events import Usage
from app.llm.pricing import Price, PriceList

MONTH_OF_THE_GUIDE = [
    (10_000, Usage(50, 100)),
    (15_000, Usage(300, 1000)),
    (5_000, Usage(500, 2000)),
]


def test_the_library_knows_both_models_and_admits_what_it_does_not_know() -> None:
    prices = PriceList()

    assert prices.price("anthropic", "claude-haiku-4-5") == Price(1.0, 5.0)
    llama = prices.price("openrouter", "meta-llama/llama-4-scout")
    assert llama is not None
    assert 0 < llama.input < llama.output < 1
    assert prices.price("openrouter", "my-own-model") is None


def test_a_configured_price_comes_before_the_library() -> None:
    prices = PriceList({("openrouter", "meta-llama/llama-4-scout"): Price(0.20, 0.20)})

    assert prices.price("openrouter", "meta-llama/llama-4-scout") == Price(0.20, 0.20)


def test_a_configured_price_is_that_of_the_dated_versions_too() -> None:
    # The API answers with the version's name, whatever alias was asked for.
    prices = PriceList({("anthropic", "claude-haiku-4-5"): Price(2.0, 6.0)})

    assert prices.price("anthropic", "claude-haiku-4-5-20251001") == Price(2.0, 6.0)
    assert prices.price("anthropic", "claude-sonnet-4-5") == Price(3.0, 15.0)
    assert prices.price("openrouter", "claude-haiku-4-5") != Price(2.0, 6.0)


def test_the_guides_month_costs_what_its_own_prices_make_it() -> None:
    haiku = sum(n * Price(1.0, 5.0).of(usage) for n, usage in MONTH_OF_THE_GUIDE)
    llama = sum(n * Price(0.20, 0.20).of(usage) for n, usage in MONTH_OF_THE_GUIDE)

    # The guide prints $450 and $22 for these sums.
    assert haiku == pytest.approx(137.5)
    assert llama == pytest.approx(6.7)
