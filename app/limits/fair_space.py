"""Bytes shared by caller: a caller alone may hold all of them, one of several its part.

What is held cannot be taken back while it is used, so whoever comes while one caller holds
everything is given its part on top. All together never hold more than twice the capacity.
"""

from collections import Counter

from app.errors import TooMuchWaiting


class FairSpace:
    """Counts what each caller holds."""

    def __init__(self, what: str, capacity: int) -> None:
        """`what` names in refusals what is held; `capacity` is in bytes."""
        self._what = what
        self._capacity = capacity
        self._held: Counter[str] = Counter()

    def hold(self, caller: str, amount: int) -> None:
        """Count so many bytes more. Raises `TooMuchWaiting`, then nothing is counted."""
        callers = len(self._held.keys() | {caller})
        share = self._capacity // callers
        total = self._held.total() + amount
        within_share = self._held[caller] + amount <= share and total <= 2 * self._capacity
        if total > self._capacity and not within_share:
            self._clean(caller)
            raise TooMuchWaiting(
                f"too many bytes of {self._what} are held: {share} at the most for each of "
                f"{callers} callers"
            )
        self._held[caller] += amount

    def give_back(self, caller: str, amount: int) -> None:
        """Count so many bytes less."""
        self._held[caller] -= amount
        self._clean(caller)

    def _clean(self, caller: str) -> None:
        if not self._held[caller]:
            del self._held[caller]
