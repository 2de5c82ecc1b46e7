"""What tokens cost, in US dollars."""

from dataclasses import dataclass
from functools import lru_cache

from app.events import Usage

PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        """The cost of `usage` in US dollars."""
        cost = usage.input_tokens * self.input + usage.output_tokens * self.output
        return cost / PER_MILLION


class PriceList:
    """Prices by provider and model: configured ones first, then those of `genai-prices`."""

    def __init__(self, configured: dict[tuple[str, str], Price] | None = None) -> None:
        self._configured = configured or {}

    def price(self, provider: str, model: str) -> Price | None:
        """Return the price of a model, None when it is unknown."""
        for (name, configured), price in self._configured.items():
            # Answers name a dated version (claude-haiku-4-5-20251001), settings an alias of it.
            if name == provider and f"{model}-".startswith(f"{configured}-"):
                return price
        return _library_price(provider, model)


@lru_cache(maxsize=256)
def _library_price(provider: str, model: str) -> Price | None:
    # Imported late: its table costs a third of a second, and no start needs it.
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    try:
        # A thousand of each, so that no tier for long prompts applies.
        price = calc_price(
            Tokens(input_tokens=1000, output_tokens=1000), model, provider_id=provider
        )
    except LookupError:
        return None
    return Price(float(price.input_price) * 1000, float(price.output_price) * 1000)
