"""Counts that all machines share, in Redis; in this process while Redis does not answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
from limits import RateLimitItem, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

_ANSWER_S = 0.5
"""A question to Redis takes a millisecond within a data centre."""
RETRY_S = 5.0
_CONNECTIONS = 50

logger = structlog.get_logger(__name__)

T = TypeVar("T")


class SharedCounter(SlidingWindowCounterRateLimiter):
    """A limiter that is never without an answer, and never without a limit."""

    def __init__(self, storage: RedisStorage) -> None:
        super().__init__(storage)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._retry_at = 0.0

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Whether there is room; counts nothing."""
        return await self._asked(
            lambda: super(SharedCounter, self).test(item, *identifiers, cost=cost),
            lambda: self._own.test(item, *identifiers, cost=cost),
        )

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Count, where there is room."""
        return await self._asked(
            lambda: super(SharedCounter, self).hit(item, *identifiers, cost=cost),
            lambda: self._own.hit(item, *identifiers, cost=cost),
        )

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """How much room there is, and when there is all."""
        return await self._asked(
            lambda: super(SharedCounter, self).get_window_stats(item, *identifiers),
            lambda: self._own.get_window_stats(item, *identifiers),
        )

    async def _asked(
        self, shared: Callable[[], Awaitable[T]], own: Callable[[], Awaitable[T]]
    ) -> T:
        now = asyncio.get_running_loop().time()
        if now >= self._retry_at:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    return await shared()
            except (RedisError, TimeoutError) as error:
                self._retry_at = now + RETRY_S
                logger.warning(
                    "Redis does not answer: this process counts for itself",
                    reason=type(error).__name__,
                )
        return await own()


@asynccontextmanager
async def shared_counter(url: str) -> AsyncIterator[SharedCounter]:
    """A limiter on the Redis at `url`, which need not answer yet."""
    pool = ConnectionPool.from_url(url, max_connections=_CONNECTIONS)
    try:
        # The address is the pool's; here it says which kind of store it is.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix="zantara",
            connection_pool=pool,  # type: ignore[arg-type]  # documented, and typed as an option
        )
        yield SharedCounter(storage)
    finally:
        await pool.disconnect()
