"""Circuit breaker: when a provider is not called, and when it is tried again.

A caller's failures open the circuit for that caller alone. It opens for all when calls of
several callers fail, or when the provider rejects the service's own key.

Our own rather than purgatory or aiobreaker: those know nothing of callers, a provider here
also names the time until which it must not be called, and a rejected key heals by a key
check, by time only where no check is answered.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable

from app.errors import FailureKind, ProviderError
from app.llm.circuit_gate import MAX_COOL_DOWN_S, CircuitState, Gate
from app.llm.provider import KeyState

RATE_LIMIT_COOL_DOWN_S = 2.0
"""For a 429 without a time to retry after."""
UNANSWERED_KEY_CHECKS = 3
"""After so many in a row a call itself must find out whether the key works."""
SHARE = 3
"""A caller's last results that count for all: of MIN_FAILURES two are others'."""
ACTIVE_S = 300.0
"""A caller that made no call for so many seconds is left out of the overall state."""
MAX_CALLERS = 1_000
"""Callers that are tracked; the one that called least recently is forgotten first."""

_NOT_ITS_FAULT = frozenset(
    {
        FailureKind.BAD_REQUEST,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_FILTER,
        FailureKind.NO_DESCRIPTORS,
        FailureKind.CONTINUATION_MISMATCH,
    }
)
_KEY_FAULTS = {
    FailureKind.AUTHENTICATION: KeyState.REJECTED,
    FailureKind.PAYMENT: KeyState.OUT_OF_CREDIT,
}


_BY_SEVERITY = (CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN)


class Circuit:
    """Decide, call by call, whether a provider is called for a caller.

    Times are monotonic seconds. `key_state` is the last that is known of the service's key;
    while it is bad, and checks of it are answered, the circuit stays open for all, whatever
    the clock says. A caller is a key's name or an address; "" is the machine itself.
    """

    def __init__(
        self, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.key_state = KeyState.UNKNOWN
        self._enabled = enabled
        self._clock = clock
        self._shared = Gate(share=SHARE)
        self._own: OrderedDict[str, Gate] = OrderedDict()
        self._failed_probes: set[str] = set()
        """Callers whose probe failed since the shared gate was last half-open."""
        self._unanswered_checks = 0
        self._key_refused_at = 0.0

    @property
    def state(self) -> CircuitState:
        """The state for all callers: open too while it is for each that called lately."""
        if not self._enabled:
            return CircuitState.CLOSED
        now = self._clock()
        own = [gate.state(now) for gate in self._active(now)]
        least = min(own, key=_BY_SEVERITY.index, default=CircuitState.CLOSED)
        return _worst(self._shared_state(now), least)

    @property
    def retry_after_s(self) -> float:
        """Seconds until the first caller may call again; 0 when one may now."""
        if self.state is CircuitState.CLOSED:
            return 0.0
        now = self._clock()
        own = min((gate.open_until - now for gate in self._active(now)), default=0.0)
        return max(0.0, self._shared.open_until - now, own)

    def state_for(self, caller: str) -> CircuitState:
        """Return the state for this caller."""
        if not self._enabled:
            return CircuitState.CLOSED
        now, own = self._clock(), self._own.get(caller)
        shared = self._shared_state(now)
        return _worst(shared, own.state(now)) if own else shared

    def retry_after_s_for(self, caller: str) -> float:
        """Return the seconds until this caller may call again; 0 when it may now."""
        if self.state_for(caller) is CircuitState.CLOSED:
            return 0.0
        own = self._own.get(caller)
        until = max(self._shared.open_until, own.open_until if own else 0.0)
        return max(0.0, until - self._clock())

    def try_acquire(self, caller: str = "") -> "Permit | None":
        """Return a permit for one call, or None while no call may be made.

        The permit is released by exactly one of its methods.
        """
        state = self.state_for(caller)
        if state is CircuitState.OPEN:
            return None
        permit = Permit(self, caller)
        if state is CircuitState.HALF_OPEN:
            now = permit.began
            probed = [g for g in (self._gate_of(caller),) if g.opened and now >= g.open_until]
            if self._shared_state(now) is CircuitState.HALF_OPEN:
                probed.append(self._shared)
            if any(gate.probe is not None for gate in probed):
                return None
            for gate in probed:
                gate.probe = permit
        return permit

    def key_checked(self, state: KeyState) -> None:
        """Apply the answer of the provider's key endpoint; UNKNOWN is no answer.

        A key that is valid again closes the circuit, but not before a deadline that is set:
        OpenRouter's endpoint knows the key's limit, not the account's credit.
        """
        if state is KeyState.UNKNOWN:
            self._unanswered_checks += 1
            return
        self._unanswered_checks = 0
        healed = self._key_is_bad and state is KeyState.VALID
        self._know_key(state)
        if healed:
            for gate in (self._shared, *self._own.values()):
                gate.close(self._clock())

    @property
    def _key_is_bad(self) -> bool:
        return self.key_state in (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)

    def _know_key(self, state: KeyState) -> None:
        self.key_state = state
        if self._key_is_bad:
            self._key_refused_at = self._clock()

    def _shared_state(self, now: float) -> CircuitState:
        if not self._key_is_bad:
            return self._shared.state(now)
        waits_for_check = self._unanswered_checks < UNANSWERED_KEY_CHECKS
        if waits_for_check or now < self._shared.open_until:
            return CircuitState.OPEN
        return CircuitState.HALF_OPEN

    def _active(self, now: float) -> list[Gate]:
        since = now - ACTIVE_S
        return [g for g in self._own.values() if g.last_call >= since or now < g.open_until]

    def _gate_of(self, caller: str) -> Gate:
        gate = self._own.setdefault(caller, Gate())
        self._own.move_to_end(caller)
        if len(self._own) > MAX_CALLERS:
            self._own.popitem(last=False)
        return gate

    def _record_outcome(
        self, permit: "Permit", error: ProviderError | None, *, slow: bool, spoke: bool = True
    ) -> None:
        now, own = self._clock(), self._gate_of(permit.caller)
        own.last_call = now
        # A call from before the key was refused is no evidence about the key now.
        if spoke and error is None and permit.began >= self._key_refused_at:
            self.key_state = KeyState.VALID
        well = error is None and not slow
        self._record_shared_outcome(permit, error, own, well=well)
        is_probe = own.release(permit)
        own.record(permit.caller, well=well)
        if is_probe:
            own.close(now) if well else own.reopen(now)
        elif not own.opened and own.fails_too_often:
            own.open_for(own.cool_down_s, now)
        if error is not None:
            self._apply_wait(error, own)

    def _record_shared_outcome(
        self, permit: "Permit", error: ProviderError | None, own: Gate, *, well: bool
    ) -> None:
        now = self._clock()
        is_probe = self._shared.release(permit)
        self._shared.record(permit.caller, well=well)
        if is_probe and well:
            self._failed_probes.clear()
            self._shared.close(now)
        elif is_probe:
            self._failed_probes.add(permit.caller)
            if len(self._failed_probes) > 1 or (error and error.kind in _KEY_FAULTS):
                self._failed_probes.clear()
                self._shared.reopen(now)
            elif own.probe is not permit:
                # One caller's failed probe does not keep other callers from theirs.
                own.open_for(own.cool_down_s, now)
        elif not self._shared.opened and self._shared.fails_too_often:
            self._shared.open_for(self._shared.cool_down_s, now)

    def _release(self, permit: "Permit") -> None:
        self._shared.release(permit)
        if own := self._own.get(permit.caller):
            own.release(permit)

    def _apply_wait(self, error: ProviderError, own: Gate) -> None:
        # A 402 that says when to come back is a budget in flight, not a spent credit.
        transient = error.kind is FailureKind.PAYMENT and error.retry_after_s is not None
        if error.kind in _KEY_FAULTS and not transient:
            self._know_key(_KEY_FAULTS[error.kind])
        if error.kind is FailureKind.PAYMENT and not transient:
            self._shared.open_for(MAX_COOL_DOWN_S, self._clock())
        if error.retry_after_s is not None:
            self._wait(error.retry_after_s, own)
        elif error.kind is FailureKind.RATE_LIMIT:
            jitter = random.uniform(1.0, 2.0)  # noqa: S311 - spreads load, guards nothing
            self._wait(RATE_LIMIT_COOL_DOWN_S * jitter, own)

    def _wait(self, seconds: float, own: Gate) -> None:
        """Keep a caller away as the provider asked, and all once it asked a second caller."""
        now = self._clock()
        own.open_for(seconds, now)
        own.wait_until = max(own.wait_until, now + seconds)
        asked = sorted(gate.wait_until for gate in self._own.values() if gate.wait_until > now)
        if len(asked) > 1:
            self._shared.open_for(asked[-2] - now, now)


class Permit:
    """The right to make one call; exactly one of its methods is called at the end."""

    def __init__(self, circuit: Circuit, caller: str) -> None:
        self._circuit = circuit
        self.caller = caller
        self.began = circuit._clock()

    @property
    def state(self) -> CircuitState:
        """The circuit's state for the caller."""
        return self._circuit.state_for(self.caller)

    def succeeded(self, *, slow: bool = False) -> None:
        """Record an answer; a slow one counts as a failure of the provider."""
        self._circuit._record_outcome(self, None, slow=slow)

    def failed(self, error: ProviderError) -> None:
        """Record a failure; one of the request or of this machine does not count."""
        if error.kind in _NOT_ITS_FAULT:
            self.abandoned()
        else:
            self._circuit._record_outcome(self, error, slow=False)

    def hedge_lost(self) -> None:
        """Record a call that was closed because its hedge had content first."""
        self._circuit._record_outcome(self, None, slow=True, spoke=False)

    def abandoned(self) -> None:
        """Release without a result: the caller disconnected, or no call was made."""
        self._circuit._release(self)


def _worst(*states: CircuitState) -> CircuitState:
    return max(states, key=_BY_SEVERITY.index)
