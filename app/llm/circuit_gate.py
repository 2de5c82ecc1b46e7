"""The results that a circuit breaker counts, and the state that follows from them."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

WINDOW = 20
"""Calls that the failure rate is taken over."""
MIN_FAILURES = 5
"""Fewer failures than this never open the circuit: one bad minute is not an outage."""
FAILURE_RATE = 0.5
COOL_DOWN_S = 15.0
MAX_COOL_DOWN_S = 300.0


class CircuitState(StrEnum):
    """Closed lets calls through, open does not, half-open lets one through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class Gate:
    """One count of results with the state that follows from it; `share` bounds each caller's."""

    share: int = WINDOW
    opened: bool = False
    open_until: float = 0.0
    cool_down_s: float = COOL_DOWN_S
    probe: object | None = None
    results: deque[tuple[str, bool]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    last_call: float = 0.0
    wait_until: float = 0.0
    """Until when the provider itself asked not to be called, as far as this gate's callers know."""

    def state(self, now: float) -> CircuitState:
        """Half-open once the time that it was opened for is over, until it is closed."""
        if not self.opened:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self.open_until else CircuitState.HALF_OPEN

    def record(self, caller: str, *, well: bool) -> None:
        """Add one call's result; the oldest of the caller's goes where it has more than `share`."""
        own = [result for result in self.results if result[0] == caller]
        if len(own) >= self.share:
            self.results.remove(own[0])
        self.results.append((caller, well))

    def release(self, permit: object) -> bool:
        """Whether the permit was the probe, which it is no longer."""
        if permit is not self.probe:
            return False
        self.probe = None
        return True

    @property
    def fails_too_often(self) -> bool:
        """Whether the results are those of an outage."""
        failures = sum(not well for _, well in self.results)
        return failures >= MIN_FAILURES and failures >= FAILURE_RATE * len(self.results)

    def open_for(self, seconds: float, now: float) -> None:
        """Let no call through for so long."""
        # A later, shorter deadline never brings an earlier, longer one forward.
        self.open_until = max(self.open_until, now + seconds)
        self.opened = True

    def reopen(self, now: float) -> None:
        """Stay open for twice as long as before."""
        self.cool_down_s = min(self.cool_down_s * 2, MAX_COOL_DOWN_S)
        self.open_for(self.cool_down_s, now)

    def close(self, now: float) -> None:
        """Let calls through again, unless the provider asked for a longer wait meanwhile."""
        if now < self.open_until:
            return
        self.opened = False
        self.open_until = 0.0
        self.cool_down_s = COOL_DOWN_S
        self.results.clear()
