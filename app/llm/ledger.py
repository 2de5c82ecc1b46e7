"""What every model call came to: outcome, tokens, cost, time."""

from collections import Counter, deque
from collections.abc import Callable
from statistics import median
from typing import Final

import msgspec
from msgspec.structs import replace

from app.errors import FailureKind
from app.events import Usage
from app.llm.budget import Budget, payer
from app.llm.pricing import PriceList

LATENCY_WINDOW = 500
"""Calls that the median time to first token is taken over, per model."""

SUCCESS = "success"
CANCELLED = "cancelled"
CRASHED = "crashed"
"""By a fault of our own, which nothing catches."""

MAX_MODEL_NAMES = 16
"""Models that are counted by their names, the configured ones among them."""
OTHER_MODEL = "other"
"""What the others are counted as: a provider may name a new one in each answer."""

LLAMA: Final = "llama-scout"
HAIKU: Final = "haiku"


class CallRecord(msgspec.Struct, frozen=True):
    """One call of one model, ended. `outcome` is SUCCESS, CANCELLED, CRASHED or a failure kind.

    Costs are US dollars, None when unknown; `usage` says whether it was estimated.
    `model` is the one that answered, where it said so, else the one asked for.
    `reason` says why it was not the first choice's, as `RouteChosen.fallback_reason` does.
    What was asked `aside` was for the service's own use, no answer to a caller.
    `lost_requests` of it a kept connection lost: they are of the same call, at no cost.
    """

    ai: str
    provider: str
    asked_model: str
    model: str
    outcome: str
    usage: Usage
    duration_s: float
    cost_usd: float | None = None
    saved_usd: float | None = None
    ttft_ms: float | None = None
    reason: str | None = None
    aside: bool = False
    lost_requests: int = 0

    @property
    def fallback(self) -> bool:
        """Whether Haiku was asked because Llama failed or was left alone."""
        return self.ai == HAIKU and isinstance(self.reason, FailureKind)


Listener = Callable[[CallRecord], None]
"""Is told of every call, in the task that made it; must neither block nor raise."""


class Ledger:
    """Prices calls, and adds them up since the start of the process."""

    def __init__(
        self, prices: PriceList, haiku_model: str, daily_limit_usd: float | None = None
    ) -> None:
        self.budget = Budget(daily_limit_usd)
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Calls for an answer, by (`llama-scout` or `haiku`, outcome)."""
        self.asides: Counter[tuple[str, str]] = Counter()
        """Calls for the service's own use, by the same."""
        self.lost_requests: Counter[str] = Counter()
        """Requests that a kept connection lost and that were sent once more, by model."""
        self.under_way: Counter[str] = Counter()
        """Calls that have begun and not ended, by model."""
        self.turns = 0
        """Turns that were to be answered, by whichever model."""
        self.unanswered = 0
        """Turns that no model answered whole, but for those that were refused."""
        self.fallback_kinds: Counter[str] = Counter()
        """Turns that went on to Haiku because Llama failed or was left alone, by why."""
        self.cost_usd = 0.0
        self.saved_usd = 0.0
        self.listeners: list[Listener] = []
        self._prices = prices
        self._haiku_model = haiku_model
        self._ttft_ms: dict[str, deque[float]] = {}
        self._model_names: set[str] = set()

    def cost(
        self, provider: str, model: str, usage: Usage, billed_usd: float | None
    ) -> tuple[float | None, float | None]:
        """What a call cost, and what it saved against Haiku; None when unknown.

        What was billed comes first; then tokens times price.
        """
        price = self._prices.price(provider, model)
        cost = billed_usd
        if cost is None and price is not None:
            cost = price.of(usage)
        haiku = self._prices.price("anthropic", self._haiku_model)
        if cost is None or haiku is None:
            return cost, None
        return cost, 0.0 if provider == "anthropic" else haiku.of(usage) - cost

    def most(
        self, provider: str, model: str, input_tokens: int, output_tokens: int
    ) -> float | None:
        """What a call of so many tokens at the most may cost, None when unknown."""
        price = self._prices.price(provider, model)
        return price.of(Usage(input_tokens, output_tokens)) if price else None

    def record(self, entry: CallRecord) -> None:
        """Add a call. Unknown costs add nothing."""
        if not self._is_counted_by_name(entry):
            entry = replace(entry, model=OTHER_MODEL)
        (self.asides if entry.aside else self.outcomes)[entry.ai, entry.outcome] += 1
        self.lost_requests[entry.ai] += entry.lost_requests
        self.cost_usd += entry.cost_usd or 0.0
        if paying := payer.get():
            paying.tokens += entry.usage.input_tokens + entry.usage.output_tokens
        self.saved_usd += entry.saved_usd or 0.0
        if entry.ttft_ms is not None and not entry.aside:
            window = self._ttft_ms.setdefault(entry.ai, deque(maxlen=LATENCY_WINDOW))
            window.append(entry.ttft_ms)
        for listener in self.listeners:
            listener(entry)

    def _is_counted_by_name(self, entry: CallRecord) -> bool:
        if entry.model == entry.asked_model or entry.model in self._model_names:
            return True
        if len(self._model_names) >= MAX_MODEL_NAMES - 2:  # one for each side's own
            return False
        self._model_names.add(entry.model)
        return True

    @property
    def fallbacks(self) -> int:
        """Turns that went on to Haiku, whyever."""
        return self.fallback_kinds.total()

    def calls(self, ai: str) -> int:
        """Calls of one model for an answer, however they ended."""
        return sum(count for (name, _), count in self.outcomes.items() if name == ai)

    def median_ttft_ms(self, ai: str) -> float | None:
        """Median time to first token over the last calls, None before the first."""
        window = self._ttft_ms.get(ai)
        return round(median(window), 1) if window else None
