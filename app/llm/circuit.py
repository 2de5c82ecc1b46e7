"""When a provider is left alone, and when it is tried again.

Our own rather than purgatory or aiobreaker: a provider here also says until when
it wants to be left alone, and a rejected key heals by a key check, not by time.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from app.errors import FailureKind, ProviderError
from app.llm.provider import KeyState

WINDOW = 20
"""Calls that the failure rate is taken over."""
MIN_FAILURES = 5
"""Fewer failures than this never open the circuit: one bad minute is not an outage."""
FAILURE_RATE = 0.5
COOL_DOWN_S = 15.0
MAX_COOL_DOWN_S = 300.0
RATE_LIMIT_COOL_DOWN_S = 5.0
"""For a 429 that does not say when to come back."""

_NOT_ITS_FAULT = frozenset(
    {FailureKind.BAD_REQUEST, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER}
)
_KEY_FAULTS = {
    FailureKind.AUTHENTICATION: KeyState.REJECTED,
    FailureKind.PAYMENT: KeyState.OUT_OF_CREDIT,
}


class CircuitState(StrEnum):
    """Closed lets calls through, open does not, half-open lets one through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Circuit:
    """Decides, call by call, whether a provider is tried.

    Times are monotonic seconds. `key_state` is the last that is known of the key;
    while it is bad the circuit stays open, whatever the clock says.
    """

    def __init__(
        self, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.key_state = KeyState.UNKNOWN
        self._enabled = enabled
        self._clock = clock
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._open_until = 0.0
        self._cool_down_s = COOL_DOWN_S
        self._probing = False
        self._opened = False

    @property
    def state(self) -> CircuitState:
        """The state as a caller would find it now."""
        if not self._enabled or not (self._opened or self._key_is_bad):
            return CircuitState.CLOSED
        if self._key_is_bad or self._clock() < self._open_until:
            return CircuitState.OPEN
        return CircuitState.HALF_OPEN

    @property
    def retry_after_s(self) -> float:
        """Seconds until the next call may go through; 0 when one may now."""
        return max(0.0, self._open_until - self._clock()) if self._opened else 0.0

    def admit(self) -> bool:
        """Whether a call may be made now. Each call admitted must be settled once."""
        state = self.state
        if state is CircuitState.CLOSED:
            return True
        if state is CircuitState.OPEN or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Settle a call that gave an answer."""
        self.key_state = KeyState.VALID
        self._outcomes.append(True)
        if self._probing:
            self._close()

    def failed(self, error: ProviderError) -> None:
        """Settle a call that failed."""
        if error.kind in _NOT_ITS_FAULT:
            self.abandoned()
            return
        self.key_state = _KEY_FAULTS.get(error.kind, self.key_state)
        if error.kind is FailureKind.PAYMENT and error.retry_after_s is not None:
            self.key_state = KeyState.VALID  # a budget in flight, not a spent credit
        self._outcomes.append(False)
        if self._probing:
            self._cool_down_s = min(self._cool_down_s * 2, MAX_COOL_DOWN_S)
            self._open_for(self._cool_down_s)
        elif self._failing_too_often():
            self._open_for(self._cool_down_s)
        self._obey(error)
        self._probing = False

    def abandoned(self) -> None:
        """Settle a call that says nothing of the provider: cancelled, or a refused prompt."""
        self._probing = False

    def key_checked(self, state: KeyState) -> None:
        """Take the answer of the provider's key endpoint; UNKNOWN changes nothing."""
        if state is KeyState.UNKNOWN:
            return
        healed = self._key_is_bad and state is KeyState.VALID
        self.key_state = state
        if healed:
            self._close()

    @property
    def _key_is_bad(self) -> bool:
        return self.key_state in (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)

    def _failing_too_often(self) -> bool:
        failures = self._outcomes.count(False)
        return failures >= MIN_FAILURES and failures >= FAILURE_RATE * len(self._outcomes)

    def _obey(self, error: ProviderError) -> None:
        if error.retry_after_s is not None:
            self._open_for(error.retry_after_s)
        elif error.kind is FailureKind.RATE_LIMIT:
            self._open_for(RATE_LIMIT_COOL_DOWN_S * random.uniform(1.0, 2.0))  # noqa: S311 - jitter, not a secret

    def _open_for(self, seconds: float) -> None:
        # A later, shorter deadline never brings an earlier, longer one forward.
        self._open_until = max(self._open_until, self._clock() + seconds)
        self._opened = True

    def _close(self) -> None:
        self._opened = False
        self._probing = False
        self._open_until = 0.0
        self._cool_down_s = COOL_DOWN_S
        self._outcomes.clear()
