"""How many requests each caller has under way at once, streams for as long as they last.

Our own: `limits` counts over time, and not what is there now. Each process counts for itself.
"""

from collections import Counter
from collections.abc import Iterator

from app.access.keys import Key
from app.access.rates import OverLimit
from app.settings import Settings

_TRY_AGAIN_S = 1


class UnderWay:
    """Counts what has begun and not ended, by key and by client address."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._count: Counter[tuple[str, str]] = Counter()

    def begin(self, key: Key | None, address: str) -> OverLimit | None:
        """Count one request, unless it is over a limit; `end` it then."""
        for (whose, identity), most in self._limits(key, address):
            if self._count[whose, identity] >= most:
                return OverLimit(f"{most} requests at once of this {whose}", _TRY_AGAIN_S)
        self._count.update(counted for counted, _ in self._limits(key, address))
        return None

    def end(self, key: Key | None, address: str) -> None:
        """A request that was counted is over."""
        for counted, _ in self._limits(key, address):
            self._count[counted] -= 1
            if not self._count[counted]:
                del self._count[counted]

    def _limits(self, key: Key | None, address: str) -> Iterator[tuple[tuple[str, str], int]]:
        if key:
            yield ("key", key.name), self._settings.concurrent_requests_per_key
        yield ("address", address), self._settings.concurrent_requests_per_address
