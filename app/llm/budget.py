"""What may be spent in a day (UTC): reserved before a call, booked after it.

A call reserves the most that it can cost, so that concurrent calls stay within the limit
together. Held in memory, by one process; `app/ops/spending.py` keeps the sums.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import msgspec

from app.errors import FailureKind, ProviderError

SERVICE = ""
"""The account that every call is booked on; other accounts are keys' names."""


@dataclass(slots=True)
class Payer:
    """Who asks. Calls are booked on the account `name` too, whose limit is `daily_usd`, if any.

    `tokens` is what this one request's calls have read and written so far.
    """

    name: str | None
    daily_usd: float | None
    tokens: int = 0
    address: str = ""
    """Of a caller without a key."""


payer: ContextVar[Payer | None] = ContextVar("payer", default=None)
"""The payer of the current request; inherited by the request's tasks."""


def caller_name() -> str:
    """Return the current request's caller: a key's name or an address; "" for the service."""
    paying = payer.get()
    return (paying.name or paying.address) if paying else ""


class Booking(msgspec.Struct, frozen=True):
    """US dollars, added to what an account spent on a day; negative where too much was reserved."""

    day: str
    account: str
    usd: float


Listener = Callable[[Booking], None]
"""Receives every booking, in the task that made it; must neither block nor raise."""


class Reservation:
    """What one call may cost, until its cost is booked."""

    def __init__(self, budget: "Budget", day: str, accounts: tuple[str, ...], usd: float) -> None:
        self._budget = budget
        self._day = day
        self._accounts = accounts
        self._usd = usd

    def record_cost(self, usd: float | None) -> None:
        """Book the call's cost in US dollars; None, where it is unknown, books the reserved sum."""
        if usd is not None:
            self._budget.book(self._day, self._accounts, usd - self._usd)


class Budget:
    """The day's sums, what is reserved among them. `limit_usd` is the service's, if any."""

    def __init__(
        self,
        limit_usd: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.listeners: list[Listener] = []
        self._limit_usd = limit_usd
        self._now = now
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._day = self.today

    @property
    def today(self) -> str:
        """The day that is booked on."""
        return self._now().date().isoformat()

    def remember(self, spent: Mapping[str, float]) -> None:
        """Add what earlier processes spent today, by account."""
        for account, usd in spent.items():
            self._spent[account] += usd

    def spent_usd(self, account: str = SERVICE) -> float:
        """Return today's US dollars of an account, with the reservations of calls in flight."""
        self._start_new_day()
        return self._spent[account]

    def reserve(self, most_usd: float | None) -> Reservation:
        """Reserve the most that the call may cost in US dollars, None where it is unknown.

        Raises:
            ProviderError: SPENDING_LIMIT, where a limit would be exceeded.
        """
        self._start_new_day()
        paying = payer.get()
        accounts = (SERVICE, paying.name) if paying and paying.name else (SERVICE,)
        self._check(SERVICE, self._limit_usd, "the service", most_usd)
        if paying and paying.name:
            self._check(paying.name, paying.daily_usd, "this key", most_usd)
        reserved = most_usd or 0.0
        self.book(self._day, accounts, reserved)
        return Reservation(self, self._day, accounts, reserved)

    def book(self, day: str, accounts: tuple[str, ...], usd: float) -> None:
        """Add to the day's sums."""
        for account in accounts:
            if day == self._day:
                self._spent[account] += usd
            for listener in self.listeners:
                listener(Booking(day, account, usd))

    def _check(
        self, account: str, limit_usd: float | None, whose: str, most_usd: float | None
    ) -> None:
        if limit_usd is None:
            return
        if most_usd is None:
            raise self._refusal(
                f"{whose} has a daily limit, and nobody knows what this model costs: set "
                "LLAMA_PRICE_INPUT and _OUTPUT, or HAIKU_PRICE_INPUT and _OUTPUT"
            )
        if self._spent[account] + most_usd > limit_usd:
            raise self._refusal(
                f"the daily limit of {whose}, ${limit_usd:g}, leaves no room for it"
            )

    def _refusal(self, detail: str) -> ProviderError:
        now = self._now()
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        left = (midnight - now).total_seconds()
        return ProviderError(FailureKind.SPENDING_LIMIT, detail, retry_after_s=left)

    def _start_new_day(self) -> None:
        today = self.today
        if self._day != today:
            self._day = today
            self._spent.clear()
