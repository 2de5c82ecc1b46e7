"""What the guide's scenarios cost: by the guide, at the guide's prices, and at the listed ones.

Some of the guide's sums are wrong at its own prices; each difference is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from app.errors import ConfigurationError
from app.events import Usage
from app.llm.pricing import Price, PriceList
from app.ops.spending import Spending

DAYS_A_MONTH = 30
LISTED = "0.2.3", "2026-11-10"
"""The release of `genai-prices` in the lock, and the day of its publication: it does not tell."""
NOTABLE = 0.02
"""The guide rounds; a difference of less than this part of the true sum is no error."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is bought. `guide` is what the guide takes it to cost, if it knows it."""

    provider: str
    name: str
    price: Price
    guide: Price | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Questions of one kind or a mix of them; `claims` are the guide's sums, by its prices."""

    title: str
    parts: tuple[tuple[int, Usage], ...]
    claims: Mapping[Price, float] = field(default_factory=dict)

    def cost(self, price: Price) -> float:
        """US dollars at this price."""
        return sum(count * price.of(usage) for count, usage in self.parts)


CASUAL = Usage(50, 100)
BUSINESS = Usage(300, 1000)
COMPLEX = Usage(500, 2000)
GUIDE_MIX = (10_000, 15_000, 5_000)
GUIDE_LLAMA = Price(0.20, 0.20)
GUIDE_HAIKU = Price(1.00, 5.00)


def _claims(llama: float, haiku: float) -> dict[Price, float]:
    return {GUIDE_LLAMA: llama, GUIDE_HAIKU: haiku}


SINGLE = (
    Scenario("One casual greeting, 50 + 100 tokens", ((1, CASUAL),), _claims(3e-8, 5.5e-7)),
    Scenario("One complex question, 500 + 2,000 tokens", ((1, COMPLEX),), _claims(0.0005, 0.0105)),
    Scenario(
        "A month of 1,000 questions a day, 500 + 1,500 tokens",
        ((1000 * DAYS_A_MONTH, Usage(500, 1500)),),
        _claims(12.0, 240.0),
    ),
)


def mix(casual: int, business: int, complex_: int) -> Scenario:
    """So many questions of each kind; the guide's claims where they are the guide's numbers."""
    title = f"{casual:,} casual, {business:,} business and {complex_:,} complex questions"
    parts = ((casual, CASUAL), (business, BUSINESS), (complex_, COMPLEX))
    is_guides = (casual, business, complex_) == GUIDE_MIX
    return Scenario(title, parts, _claims(22.0, 450.0) if is_guides else {})


def models(
    prices: PriceList, llama: str, haiku: str, beside: Sequence[tuple[str, str]]
) -> list[Model]:
    """The two models at work, and those beside them. Raises `ConfigurationError`."""
    return [
        _priced(
            prices,
            "openrouter",
            llama,
            GUIDE_LLAMA if "llama-4-scout" in llama else None,
            "LLAMA_PRICE_INPUT and _OUTPUT",
        ),
        _priced(
            prices,
            "anthropic",
            haiku,
            GUIDE_HAIKU if "haiku-4-5" in haiku else None,
            "HAIKU_PRICE_INPUT and _OUTPUT",
        ),
        *(_priced(prices, provider, name, None, "another model") for provider, name in beside),
    ]


def _priced(prices: PriceList, provider: str, name: str, guide: Price | None, remedy: str) -> Model:
    price = prices.price(provider, name)
    if price is None:
        raise ConfigurationError(f"nobody knows the price of {provider}:{name}; give {remedy}")
    return Model(provider, name, price, guide)


def report(scenarios: Sequence[Scenario], compared: Sequence[Model]) -> Iterator[str]:
    """The lines of the report; the first of `compared` is what the others are measured by."""
    yield f"{'US dollars per million tokens':<42}{'input':>9}{'output':>9}"
    for model in compared:
        label = f"{model.name} ({model.provider})"
        yield f"  {label:<40}{model.price.input:>9.2f}{model.price.output:>9.2f}"
    for scenario in scenarios:
        yield ""
        yield scenario.title
        yield f"  {'':<40}{'the guide':>14}{'its prices':>14}{'listed':>14}"
        for model in compared:
            yield _row(scenario, model)
        yield from _savings(scenario, compared)
    yield ""
    yield "listed: prices as configured (LLAMA_PRICE_INPUT and the like), or else as"
    yield f"{_library()} has them, which may not be today's."
    yield "Every model is taken to count the same tokens; Haiku 5.5 counts about 30% more of them."
    yield "The prompts are the guide's. With its passages the service sends about 3,000 tokens to"
    yield "Llama and 2,500 to Haiku for a business or a complex question (docs/guide.it.md)."


def spending_report(spent: Sequence[Spending]) -> Iterator[str]:
    """The lines on what was spent and saved."""
    if not spent:
        yield "Nothing has been spent yet."
        return
    counted = f"{'calls':>9}{'failed':>9}"
    yield f"{'Spent, by day (UTC) and model':<42}{counted}{'spent':>14}{'saved':>14}"
    for row in spent:
        note = f"  ({row.unpriced} of unknown cost)" if row.unpriced else ""
        label = f"{row.day}  {row.model}"
        counts = f"{row.calls:>9,}{row.failed:>9,}"
        yield f"  {label:<40}{counts}{row.cost_usd:>14.6f}{row.saved_usd:>14.6f}{note}"
    cost, saved = sum(row.cost_usd for row in spent), sum(row.saved_usd for row in spent)
    yield f"  {'in all':<58}{cost:>14.6f}{saved:>14.6f}"
    yield "Failed are those that gave no whole answer, the client's leaving among them."
    yield "Saved is against Haiku for the tokens that Llama read; Haiku is sent fewer passages."


def _library() -> str:
    installed = version("genai-prices")
    released = f" of {LISTED[1]}" if installed == LISTED[0] else ""
    return f"genai-prices {installed}{released}"


def _row(scenario: Scenario, model: Model) -> str:
    claimed = true = None
    if model.guide:
        claimed, true = scenario.claims.get(model.guide), scenario.cost(model.guide)
    figures = (claimed, true, scenario.cost(model.price))
    columns = "".join(f"{'–' if f is None else _dollars(f):>14}" for f in figures)
    return f"  {model.name:<40}{columns}{_note(claimed, true)}"


def _note(claimed: float | None, true: float | None) -> str:
    if not claimed or not true or abs(claimed - true) <= NOTABLE * true:
        return ""
    if claimed < true:
        return f"  ← the guide is {true / claimed:,.0f} times too low"
    return f"  ← the guide is {claimed / true:.1f} times too high"


def _savings(scenario: Scenario, compared: Sequence[Model]) -> Iterator[str]:
    first, *others = compared
    ours = scenario.cost(first.price)
    for other in others:
        theirs = scenario.cost(other.price)
        if not theirs:
            continue
        saved = theirs - ours
        word = "less" if saved >= 0 else "more"
        yield (
            f"  → {first.name} costs {_dollars(abs(saved))} {word} than {other.name} "
            f"({abs(saved) / theirs:.1%})"
        )


def _dollars(amount: float) -> str:
    if amount >= 1 or amount == 0:
        return f"${amount:,.2f}"
    if amount >= 1e-4:
        return f"${amount:.6f}".rstrip("0")
    return f"${amount:.8f}"
