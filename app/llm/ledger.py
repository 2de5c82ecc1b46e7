"""Ledger of model calls: outcomes, tokens, costs, times."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from statistics import median
from typing import Final, Literal

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
"""Ended by an error in this service, which is not caught."""

MAX_MODEL_NAMES = 16
"""Models that are counted by name, the configured ones included."""
OTHER_MODEL = "other"
"""The name that all others are counted under: a provider may report a new one in each answer."""

LLAMA: Final = "llama-scout"
HAIKU: Final = "haiku"


Purpose = Literal["answer", "rewrite"]
"""What a call is for: an answer to a caller, or the service's own query rewrite."""


class CallRecord(msgspec.Struct, frozen=True):
    """One finished call of one model.

    Attributes:
        asked_model: The model that was requested.
        model: The model that answered, as the provider reports it; else `asked_model`.
        outcome: SUCCESS, CANCELLED, CRASHED or a `FailureKind`.
        usage: Tokens, with whether they are an estimate.
        cost_usd: US dollars; None when unknown.
        saved_usd: US dollars against the same tokens on Haiku; None when unknown.
        ttft_ms: Milliseconds to the first content; None when there was none.
        reason: Why the first choice was not called, as in `RouteChosen.fallback_reason`.
        lost_requests: Requests of this call that a kept connection lost, at no cost.
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
    purpose: Purpose = "answer"
    lost_requests: int = 0

    @property
    def fallback(self) -> bool:
        """Whether Haiku was called because Llama failed or its circuit was open."""
        return self.ai == HAIKU and isinstance(self.reason, FailureKind)


Listener = Callable[[CallRecord], None]
"""Receives every call, in the task that made it; must neither block nor raise."""


class Ledger:
    """Price calls and add them up, from the start of the process.

    The counters are read-only to others; they change through the methods.
    """

    def __init__(
        self, prices: PriceList, haiku_model: str, daily_limit_usd: float | None = None
    ) -> None:
        self.budget = Budget(daily_limit_usd)
        self.listeners: list[Listener] = []
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self.outcomes: Mapping[tuple[str, str], int] = self._outcomes
        """Calls for an answer, by (`llama-scout` or `haiku`, outcome)."""
        self._auxiliary_outcomes: Counter[tuple[str, str]] = Counter()
        self.auxiliary_outcomes: Mapping[tuple[str, str], int] = self._auxiliary_outcomes
        """Calls for the service's own use, by the same."""
        self._lost_requests: Counter[str] = Counter()
        self.lost_requests: Mapping[str, int] = self._lost_requests
        """Requests that a kept connection lost and that were sent again, by model."""
        self._in_flight: Counter[str] = Counter()
        self.in_flight: Mapping[str, int] = self._in_flight
        """Calls that have started and not ended, by model."""
        self._fallback_kinds: Counter[str] = Counter()
        self.fallback_kinds: Mapping[str, int] = self._fallback_kinds
        """Turns that fell back to Haiku, by the kind of Llama's failure."""
        self._turns = 0
        self._unanswered = 0
        self._cost_usd = 0.0
        self._saved_usd = 0.0
        self._prices = prices
        self._haiku_model = haiku_model
        self._ttft_ms: dict[str, deque[float]] = {}
        self._model_names: set[str] = set()

    @property
    def turns(self) -> int:
        """Turns that were to be answered, by either model."""
        return self._turns

    @property
    def unanswered(self) -> int:
        """Turns that no model answered completely, refused ones not included."""
        return self._unanswered

    @property
    def cost_usd(self) -> float:
        """US dollars of all calls whose cost is known."""
        return self._cost_usd

    @property
    def saved_usd(self) -> float:
        """US dollars saved against Haiku, of all successful calls."""
        return self._saved_usd

    def turn_started(self) -> None:
        """Count a turn."""
        self._turns += 1

    def turn_unanswered(self) -> None:
        """Count a turn that no model answered completely."""
        self._unanswered += 1

    def fell_back(self, kind: str) -> None:
        """Count a turn that falls back to Haiku after a failure of that kind."""
        self._fallback_kinds[kind] += 1

    def call_started(self, ai: str) -> None:
        """Count a call as in flight."""
        self._in_flight[ai] += 1

    def call_ended(self, ai: str) -> None:
        """Count a call as in flight no longer."""
        self._in_flight[ai] -= 1

    def cost(
        self, provider: str, model: str, usage: Usage, billed_usd: float | None
    ) -> tuple[float | None, float | None]:
        """Return a call's cost and its saving against Haiku, in US dollars; None when unknown.

        The cost is `billed_usd` where the provider reports it, else tokens times price.
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
        """Return the most that a call may cost in US dollars, None when unknown."""
        price = self._prices.price(provider, model)
        return price.of(Usage(input_tokens, output_tokens)) if price else None

    def record(self, record: CallRecord) -> None:
        """Add a call to the sums and pass it to the listeners. Unknown costs add nothing."""
        if not self._is_counted_by_name(record):
            record = replace(record, model=OTHER_MODEL)
        is_answer = record.purpose == "answer"
        counter = self._outcomes if is_answer else self._auxiliary_outcomes
        counter[record.ai, record.outcome] += 1
        self._lost_requests[record.ai] += record.lost_requests
        self._cost_usd += record.cost_usd or 0.0
        if paying := payer.get():
            paying.tokens += record.usage.input_tokens + record.usage.output_tokens
        self._saved_usd += record.saved_usd or 0.0
        if record.ttft_ms is not None and is_answer:
            window = self._ttft_ms.setdefault(record.ai, deque(maxlen=LATENCY_WINDOW))
            window.append(record.ttft_ms)
        for listener in self.listeners:
            listener(record)

    def _is_counted_by_name(self, record: CallRecord) -> bool:
        if record.model == record.asked_model or record.model in self._model_names:
            return True
        if len(self._model_names) >= MAX_MODEL_NAMES - 2:  # one for each target's own
            return False
        self._model_names.add(record.model)
        return True

    @property
    def fallbacks(self) -> int:
        """Turns that fell back to Haiku, for any reason."""
        return self._fallback_kinds.total()

    def calls(self, ai: str) -> int:
        """Return the calls of one model for an answer, with any outcome."""
        return sum(count for (name, _), count in self.outcomes.items() if name == ai)

    def median_ttft_ms(self, ai: str) -> float | None:
        """Return the median time to first token over the last calls, None before the first."""
        window = self._ttft_ms.get(ai)
        return round(median(window), 1) if window else None
