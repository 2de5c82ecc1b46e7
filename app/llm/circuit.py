"""When a provider is left alone, and when it is tried again.

Our own rather than purgatory or aiobreaker: a provider here also says until when
it wants to be left alone, and a rejected key heals by a key check, by time only where
no check is answered.
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
RATE_LIMIT_COOL_DOWN_S = 2.0
"""For a 429 that does not say when to come back."""
UNANSWERED_KEY_CHECKS = 3
"""After so many in a row a call itself must find out whether the key works."""

_NOT_ITS_FAULT = frozenset(
    {
        FailureKind.BAD_REQUEST,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_FILTER,
        FailureKind.NO_DESCRIPTORS,
        FailureKind.SEAM,
    }
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
    while it is bad, and checks of it are answered, the circuit stays open, whatever
    the clock says.
    """

    def __init__(
        self, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.key_state = KeyState.UNKNOWN
        self._enabled = enabled
        self._clock = clock
        self._went_well: deque[bool] = deque(maxlen=WINDOW)
        self._opened = False
        self._open_until = 0.0
        self._cool_down_s = COOL_DOWN_S
        self._probe: Permit | None = None
        self._unanswered_checks = 0
        self._key_refused_at = 0.0

    @property
    def state(self) -> CircuitState:
        """The state as a caller would find it now."""
        if not self._enabled or not (self._opened or self._key_is_bad):
            return CircuitState.CLOSED
        waits_for_check = self._key_is_bad and self._unanswered_checks < UNANSWERED_KEY_CHECKS
        if waits_for_check or self._clock() < self._open_until:
            return CircuitState.OPEN
        return CircuitState.HALF_OPEN

    @property
    def retry_after_s(self) -> float:
        """Seconds until the next call may go through; 0 when one may now."""
        if self.state is CircuitState.CLOSED:
            return 0.0
        return max(0.0, self._open_until - self._clock()) if self._opened else 0.0

    def admit(self) -> "Permit | None":
        """A permit for one call, to be settled once; None when none may be made now."""
        state = self.state
        if state is CircuitState.CLOSED:
            return Permit(self)
        if state is CircuitState.OPEN or self._probe is not None:
            return None
        self._probe = Permit(self)
        return self._probe

    def key_checked(self, state: KeyState) -> None:
        """Take the answer of the provider's key endpoint; UNKNOWN is none.

        A key that works again closes the circuit, but no sooner than a deadline that
        stands: OpenRouter's endpoint knows of the key's limit, not of the account's credit.
        """
        if state is KeyState.UNKNOWN:
            self._unanswered_checks += 1
            return
        self._unanswered_checks = 0
        healed = self._key_is_bad and state is KeyState.VALID
        self._know_key(state)
        if healed:
            self._close()

    @property
    def _key_is_bad(self) -> bool:
        return self.key_state in (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)

    def _know_key(self, state: KeyState) -> None:
        self.key_state = state
        if self._key_is_bad:
            self._key_refused_at = self._clock()

    def _settle(
        self, permit: "Permit", error: ProviderError | None, *, slow: bool, spoke: bool = True
    ) -> None:
        is_probe = permit is self._probe
        if is_probe:
            self._probe = None
        # A call that began before the key was refused says nothing of it now.
        if spoke and error is None and permit.began >= self._key_refused_at:
            self.key_state = KeyState.VALID
        well = error is None and not slow
        self._went_well.append(well)
        if is_probe and well:
            self._close()
        elif is_probe:
            self._cool_down_s = min(self._cool_down_s * 2, MAX_COOL_DOWN_S)
            self._open_for(self._cool_down_s)
        elif not self._opened and self._fails_too_often():
            self._open_for(self._cool_down_s)
        if error is not None:
            self._obey(error)

    def _release(self, permit: "Permit") -> None:
        if permit is self._probe:
            self._probe = None

    def _fails_too_often(self) -> bool:
        failures = self._went_well.count(False)
        return failures >= MIN_FAILURES and failures >= FAILURE_RATE * len(self._went_well)

    def _obey(self, error: ProviderError) -> None:
        # A 402 that says when to come back is a budget in flight, not a spent credit.
        transient = error.kind is FailureKind.PAYMENT and error.retry_after_s is not None
        if error.kind in _KEY_FAULTS and not transient:
            self._know_key(_KEY_FAULTS[error.kind])
        if error.kind is FailureKind.PAYMENT and not transient:
            self._open_for(MAX_COOL_DOWN_S)
        if error.retry_after_s is not None:
            self._open_for(error.retry_after_s)
        elif error.kind is FailureKind.RATE_LIMIT:
            jitter = random.uniform(1.0, 2.0)  # noqa: S311 - spreads load, guards nothing
            self._open_for(RATE_LIMIT_COOL_DOWN_S * jitter)

    def _open_for(self, seconds: float) -> None:
        # A later, shorter deadline never brings an earlier, longer one forward.
        self._open_until = max(self._open_until, self._clock() + seconds)
        self._opened = True

    def _close(self) -> None:
        if self._clock() < self._open_until:
            return  # another call was told to stay away for longer
        self._opened = False
        self._open_until = 0.0
        self._cool_down_s = COOL_DOWN_S
        self._went_well.clear()


class Permit:
    """The right to make one call; exactly one of its methods is called when it has ended."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self.began = circuit._clock()

    def succeeded(self, *, slow: bool = False) -> None:
        """The call gave an answer; a slow one counts against the provider all the same."""
        self._circuit._settle(self, None, slow=slow)

    def failed(self, error: ProviderError) -> None:
        """The call failed; a fault of the request's or of this machine's does not count."""
        if error.kind in _NOT_ITS_FAULT:
            self.abandoned()
        else:
            self._circuit._settle(self, error, slow=False)

    def overtaken(self) -> None:
        """The call was given up for another model's, which began later and spoke first."""
        self._circuit._settle(self, None, slow=True, spoke=False)

    def abandoned(self) -> None:
        """The call says nothing of the provider: its caller left, or it was not made."""
        self._circuit._release(self)
