"""Requests and tokens a minute, by key and by client address.

Counted by `limits`, in the memory of this process or, for several machines together, in Redis.
Tokens are known once they are used, so a minute's last request may go over, and the next ones
wait for it.
"""

import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from app.access.keys import Key
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class OverLimit:
    """Which limit a request is over, and in how many seconds another try makes sense."""

    limit: str
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class _Limit:
    """So many of `what` a minute, for whoever `whose` names."""

    what: str
    whose: str
    item: RateLimitItem
    identity: str

    @property
    def identifiers(self) -> tuple[str, str, str]:
        return self.what, self.whose, self.identity


class Rates:
    """What was asked and used in the last minute."""

    def __init__(self, settings: Settings, counted: SlidingWindowCounterRateLimiter) -> None:
        self._settings = settings
        self._counted = counted

    async def admit(self, key: Key | None, address: str) -> OverLimit | None:
        """Count one request, unless it is over a limit."""
        for limit in self._tokens(key, address):
            if not await self._counted.test(limit.item, *limit.identifiers):
                return await self._over(limit)
        for limit in self._requests(key, address):
            if not await self._counted.hit(limit.item, *limit.identifiers):
                return await self._over(limit)
        return None

    async def used(self, key: Key | None, address: str, tokens: int) -> None:
        """Count the tokens that a request has used."""
        for limit in self._tokens(key, address):
            left = await self._counted.get_window_stats(limit.item, *limit.identifiers)
            # More than is left would not be counted at all.
            counted = min(tokens, left.remaining)
            if counted:
                await self._counted.hit(limit.item, *limit.identifiers, cost=counted)

    def _requests(self, key: Key | None, address: str) -> Iterator[_Limit]:
        settings = self._settings
        if key:
            most = key.requests_per_minute or settings.requests_per_minute_per_key
            yield _Limit("requests", "key", RateLimitItemPerMinute(most), key.name)
        item = RateLimitItemPerMinute(settings.requests_per_minute_per_address)
        yield _Limit("requests", "address", item, address)

    def _tokens(self, key: Key | None, address: str) -> Iterator[_Limit]:
        settings = self._settings
        if key:
            most = key.tokens_per_minute or settings.tokens_per_minute_per_key
            yield _Limit("tokens", "key", RateLimitItemPerMinute(most), key.name)
        item = RateLimitItemPerMinute(settings.tokens_per_minute_per_address)
        yield _Limit("tokens", "address", item, address)

    async def _over(self, limit: _Limit) -> OverLimit:
        window = await self._counted.get_window_stats(limit.item, *limit.identifiers)
        wait = max(1, math.ceil(window.reset_time - time.time()))
        return OverLimit(f"{limit.item.amount} {limit.what} a minute of this {limit.whose}", wait)


@asynccontextmanager
async def open_rates(settings: Settings) -> AsyncIterator[Rates]:
    """Counts in the Redis of `REDIS_URL`, or in this process where that is not set."""
    if settings.redis_url is None:
        yield Rates(settings, SlidingWindowCounterRateLimiter(MemoryStorage()))
        return
    from app.access.shared_counts import shared_counter  # late: most do without Redis's client

    async with shared_counter(settings.redis_url.get_secret_value()) as counted:
        yield Rates(settings, counted)
