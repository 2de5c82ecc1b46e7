from app.errors import FailureKind, ProviderError
from app.llm.circuit import (
    ACTIVE_S,
    MAX_CALLERS,
    RATE_LIMIT_COOL_DOWN_S,
    UNANSWERED_KEY_CHECKS,
    Circuit,
    Permit,
)
from app.llm.circuit_gate import COOL_DOWN_S, MAX_COOL_DOWN_S, MIN_FAILURES, CircuitState
from app.llm.provider import KeyState


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def state_of(circuit: Circuit) -> CircuitState:
    """The state now; a type checker takes the property for one that never changes."""
    return circuit.state


SERVER = ProviderError(FailureKind.SERVER, "HTTP 500")


def permit(circuit: Circuit, caller: str = "") -> Permit:
    admitted = circuit.try_acquire(caller)
    assert admitted is not None
    return admitted


def fail_until_open(circuit: Circuit) -> None:
    for _ in range(MIN_FAILURES):
        permit(circuit).failed(SERVER)
    assert state_of(circuit) is CircuitState.OPEN


def test_the_fifth_failure_of_as_many_calls_opens_it_and_the_fourth_does_not() -> None:
    circuit = Circuit(clock=Clock())
    for _ in range(4):
        permit(circuit).failed(SERVER)
    assert state_of(circuit) is CircuitState.CLOSED

    permit(circuit).failed(SERVER)
    assert state_of(circuit) is CircuitState.OPEN
    assert circuit.retry_after_s == 15


def test_a_spent_credit_keeps_the_circuit_open_for_five_minutes() -> None:
    circuit = Circuit(clock=Clock())
    permit(circuit).failed(ProviderError(FailureKind.PAYMENT, "402"))
    assert circuit.retry_after_s == 300


def test_failures_open_it_and_one_probe_at_a_time_closes_it() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    fail_until_open(circuit)
    assert not circuit.try_acquire()

    clock.now += COOL_DOWN_S
    assert state_of(circuit) is CircuitState.HALF_OPEN
    probe = permit(circuit)
    assert not circuit.try_acquire()

    probe.succeeded()
    assert state_of(circuit) is CircuitState.CLOSED
    assert circuit.try_acquire()


def test_a_failed_probe_doubles_the_cool_down() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    fail_until_open(circuit)
    clock.now += COOL_DOWN_S
    permit(circuit).failed(SERVER)

    clock.now += COOL_DOWN_S
    assert not circuit.try_acquire()
    clock.now += COOL_DOWN_S
    assert circuit.try_acquire()


def test_the_cool_down_grows_to_its_bound_and_starts_anew_once_a_probe_has_gone_well() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    fail_until_open(circuit)
    for _ in range(10):
        clock.now += MAX_COOL_DOWN_S
        permit(circuit).failed(SERVER)
    assert circuit.retry_after_s == MAX_COOL_DOWN_S

    clock.now += MAX_COOL_DOWN_S
    permit(circuit).succeeded()
    fail_until_open(circuit)
    assert circuit.retry_after_s == COOL_DOWN_S


def test_an_answer_that_began_before_the_key_was_refused_does_not_bring_it_back() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    older = permit(circuit)
    clock.now += 1
    permit(circuit).failed(ProviderError(FailureKind.AUTHENTICATION, "401"))
    clock.now += 1
    older.succeeded()

    assert (circuit.key_state, circuit.state) == (KeyState.REJECTED, CircuitState.OPEN)


def test_a_probe_that_its_caller_abandons_leaves_the_way_free_for_the_next() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    fail_until_open(circuit)
    clock.now += COOL_DOWN_S
    permit(circuit).abandoned()

    assert circuit.try_acquire()


def test_every_second_call_failing_changes_the_state_once_a_cool_down() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    changes, before = 0, circuit.state
    for turn in range(200):
        clock.now += COOL_DOWN_S / 200
        if admitted := circuit.try_acquire():
            admitted.succeeded() if turn % 2 else admitted.failed(SERVER)
        changes += circuit.state is not before
        before = circuit.state

    assert changes <= 1


def test_a_later_shorter_deadline_does_not_bring_an_earlier_longer_one_forward() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    permits = [permit(circuit), permit(circuit)]
    for admitted, seconds in zip(permits, (60.0, 1.0), strict=True):
        admitted.failed(ProviderError(FailureKind.RATE_LIMIT, "429", retry_after_s=seconds))

    assert circuit.retry_after_s == 60.0
    clock.now += 59
    assert not circuit.try_acquire()
    clock.now += 1
    assert circuit.try_acquire()


def test_callers_of_a_rate_limit_without_a_date_do_not_come_back_all_at_once() -> None:
    waits: set[float] = set()
    for _ in range(50):
        circuit = Circuit(clock=Clock())
        permit(circuit).failed(ProviderError(FailureKind.RATE_LIMIT, "429"))
        waits.add(circuit.retry_after_s)

    assert len(waits) > 1
    assert RATE_LIMIT_COOL_DOWN_S <= min(waits) <= max(waits) <= 2 * RATE_LIMIT_COOL_DOWN_S


def test_a_rejected_key_stays_open_until_the_key_is_seen_to_work() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    permit(circuit).failed(ProviderError(FailureKind.AUTHENTICATION, "401"))
    clock.now += 10**6
    for _ in range(UNANSWERED_KEY_CHECKS - 1):
        circuit.key_checked(KeyState.UNKNOWN)
    circuit.key_checked(KeyState.REJECTED)
    circuit.key_checked(KeyState.UNKNOWN)
    assert not circuit.try_acquire()

    circuit.key_checked(KeyState.VALID)

    assert circuit.try_acquire()
    assert state_of(circuit) is CircuitState.CLOSED


def test_a_402_that_says_when_to_come_back_is_no_spent_credit() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    permit(circuit).failed(ProviderError(FailureKind.PAYMENT, "402", retry_after_s=3.0))
    assert not circuit.try_acquire()
    clock.now += 3
    assert circuit.try_acquire()

    circuit = Circuit(clock=clock)
    permit(circuit).failed(ProviderError(FailureKind.PAYMENT, "402"))
    clock.now += 10**6
    assert not circuit.try_acquire()


def test_faults_of_the_request_do_not_count_against_the_provider() -> None:
    circuit = Circuit(clock=Clock())
    for kind in (FailureKind.BAD_REQUEST, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER):
        for _ in range(MIN_FAILURES):
            permit(circuit).failed(ProviderError(kind, "400"))

    assert state_of(circuit) is CircuitState.CLOSED


def test_switched_off_it_lets_everything_through() -> None:
    circuit = Circuit(enabled=False, clock=Clock())
    for _ in range(20):
        permit(circuit).failed(SERVER)

    assert circuit.try_acquire()
    assert state_of(circuit) is CircuitState.CLOSED


def test_a_call_from_before_it_opened_does_not_end_the_probe() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    early = permit(circuit)
    fail_until_open(circuit)
    clock.now += COOL_DOWN_S
    probe = permit(circuit)

    early.succeeded()

    assert state_of(circuit) is CircuitState.HALF_OPEN
    assert not circuit.try_acquire()
    probe.succeeded()
    assert state_of(circuit) is CircuitState.CLOSED


def test_slow_answers_open_it_too() -> None:
    circuit = Circuit(clock=Clock())
    for _ in range(MIN_FAILURES):
        permit(circuit).succeeded(slow=True)

    assert state_of(circuit) is CircuitState.OPEN


def test_a_key_that_works_does_not_end_a_wait_that_something_else_asked_for() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    permit(circuit).failed(ProviderError(FailureKind.PAYMENT, "402"))

    circuit.key_checked(KeyState.VALID)

    assert circuit.state is CircuitState.OPEN
    clock.now += MAX_COOL_DOWN_S
    assert circuit.try_acquire()


def test_switched_off_it_asks_nobody_to_wait() -> None:
    circuit = Circuit(enabled=False, clock=Clock())
    for _ in range(MIN_FAILURES):
        permit(circuit).failed(SERVER)

    assert circuit.retry_after_s == 0


def test_a_key_that_cannot_be_checked_is_tried_by_one_call_less_and_less_often() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    rejected = ProviderError(FailureKind.AUTHENTICATION, "401")
    permit(circuit).failed(rejected)
    for _ in range(UNANSWERED_KEY_CHECKS):
        circuit.key_checked(KeyState.UNKNOWN)

    probe = permit(circuit)
    assert not circuit.try_acquire()
    probe.failed(rejected)
    assert circuit.retry_after_s == 2 * COOL_DOWN_S

    clock.now += 2 * COOL_DOWN_S
    permit(circuit).succeeded()
    assert circuit.key_state is KeyState.VALID
    assert state_of(circuit) is CircuitState.CLOSED


def test_a_probe_that_goes_well_does_not_end_a_wait_that_an_older_call_was_told_of() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    old = permit(circuit)
    permit(circuit).failed(ProviderError(FailureKind.RATE_LIMIT, "429", retry_after_s=1.0))
    clock.now += 1
    probe = permit(circuit)
    old.failed(ProviderError(FailureKind.RATE_LIMIT, "429", retry_after_s=60.0))

    probe.succeeded()

    assert circuit.retry_after_s == 60.0
    assert not circuit.try_acquire()
    clock.now += 60
    permit(circuit).succeeded()
    assert state_of(circuit) is CircuitState.CLOSED


def test_an_old_call_that_is_abandoned_during_a_probe_lets_no_second_one_through() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    early = permit(circuit)
    fail_until_open(circuit)
    clock.now += COOL_DOWN_S
    permit(circuit)

    early.abandoned()

    assert not circuit.try_acquire()


def test_an_answer_shows_that_the_key_works() -> None:
    circuit = Circuit(clock=Clock())
    early = permit(circuit)
    permit(circuit).failed(ProviderError(FailureKind.AUTHENTICATION, "401"))
    assert state_of(circuit) is CircuitState.OPEN

    early.succeeded()

    assert circuit.key_state is KeyState.VALID
    assert state_of(circuit) is CircuitState.CLOSED


def fail(circuit: Circuit, caller: str, times: int) -> None:
    for admitted in [permit(circuit, caller) for _ in range(times)]:
        admitted.failed(SERVER)


def test_row_35_one_callers_failures_open_it_for_that_caller_alone() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    permit(circuit, "ada").succeeded()
    fail(circuit, "bob", 4 * MIN_FAILURES)

    assert circuit.state_for("bob") is CircuitState.OPEN
    assert circuit.retry_after_s_for("bob") == COOL_DOWN_S
    assert circuit.state_for("ada") is circuit.state is CircuitState.CLOSED
    assert not circuit.try_acquire("bob")
    permit(circuit, "ada").failed(SERVER)
    assert circuit.state_for("ada") is CircuitState.CLOSED
    assert circuit.try_acquire("somebody new")


def test_row_35_slow_answers_of_one_caller_are_that_callers_too() -> None:
    circuit = Circuit(clock=Clock())
    for _ in range(MIN_FAILURES):
        permit(circuit, "bob").succeeded(slow=True)

    assert circuit.state_for("bob") is CircuitState.OPEN
    assert circuit.state_for("ada") is CircuitState.CLOSED


def test_row_35_failures_of_two_callers_open_it_for_all() -> None:
    circuit = Circuit(clock=Clock())
    fail(circuit, "bob", MIN_FAILURES - 1)
    fail(circuit, "ada", 2)

    assert circuit.state_for("somebody new") is circuit.state is CircuitState.OPEN


def test_row_35_a_caller_whose_own_calls_go_well_keeps_it_closed_for_all() -> None:
    circuit = Circuit(clock=Clock())
    for turn in range(100):
        if failing := circuit.try_acquire("bob"):
            failing.failed(SERVER)
        permit(circuit, "ada").failed(SERVER) if turn % 4 == 0 else permit(
            circuit, "ada"
        ).succeeded()

    assert circuit.state_for("ada") is CircuitState.CLOSED


def test_row_35_a_wait_that_one_caller_was_given_is_no_other_callers() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    waits = {"bob": 3600.0, "ada": 20.0}
    permits = {caller: permit(circuit, caller) for caller in waits}
    permits["bob"].failed(ProviderError(FailureKind.RATE_LIMIT, "429", retry_after_s=3600.0))
    assert circuit.state_for("ada") is CircuitState.CLOSED

    permits["ada"].failed(ProviderError(FailureKind.RATE_LIMIT, "429", retry_after_s=20.0))

    # A third one waits for as long as two were asked to.
    assert circuit.retry_after_s_for("somebody new") == 20
    clock.now += 20
    assert circuit.try_acquire("ada")
    assert not circuit.try_acquire("bob")


def test_row_35_one_callers_failed_probe_keeps_nobody_else_from_another() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    fail(circuit, "bob", 3)
    fail(circuit, "ada", 3)
    clock.now += COOL_DOWN_S
    permit(circuit, "bob").failed(SERVER)
    assert not circuit.try_acquire("bob")

    probe = permit(circuit, "ada")
    assert not circuit.try_acquire("somebody new")
    probe.failed(SERVER)

    assert circuit.retry_after_s_for("somebody new") == 2 * COOL_DOWN_S
    clock.now += 2 * COOL_DOWN_S
    permit(circuit, "somebody new").succeeded()
    assert circuit.state_for("ada") is CircuitState.CLOSED


def test_the_overall_state_is_that_of_those_who_called_lately() -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    permit(circuit, "ada").succeeded()
    clock.now += ACTIVE_S + 1
    fail(circuit, "bob", MIN_FAILURES)

    assert circuit.state is CircuitState.OPEN
    assert circuit.retry_after_s == COOL_DOWN_S
    permit(circuit, "ada").succeeded()
    assert state_of(circuit) is CircuitState.CLOSED


def test_a_rejected_key_is_rejected_for_all_whoever_met_it() -> None:
    circuit = Circuit(clock=Clock())
    permit(circuit, "bob").failed(ProviderError(FailureKind.AUTHENTICATION, "401"))

    assert not circuit.try_acquire("ada")


def test_row_36_callers_are_tracked_up_to_a_bound() -> None:
    circuit = Circuit(clock=Clock())
    for n in range(2 * MAX_CALLERS):
        permit(circuit, f"2001:db8:{n:x}::/64").succeeded()

    assert len(circuit._own) == MAX_CALLERS
