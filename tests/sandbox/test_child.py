"""Real child processes, whose code does what a hostile file would have it do."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import ChildFailed, ChildFailure
from app.sandbox import Child, Confinement, Limits, Program, Spare
from tests.sandbox.hostile_child import Order

MODULE = "tests.sandbox.hostile_child"
LIMITS = Limits(time_s=60, cpu_s=1, memory_bytes=700 * 1024**2, answer_bytes=1_000_000)
CAT = Program(("/bin/cat",), Limits(time_s=60, cpu_s=5, answer_bytes=1_000))

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's means")


def programs() -> dict[str, Program]:
    passwd = Program(("/bin/cat", "/etc/passwd"), CAT.limits)
    return {"program": CAT, "another": passwd}


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child(MODULE, LIMITS, programs()) as started:
        yield started


@pytest.fixture(scope="module")
def older_kernel() -> Iterator[Child]:
    with Child("tests.sandbox.older_kernel_child", LIMITS) as started:
        yield started


@pytest.fixture(scope="module")
def no_filter() -> Iterator[Child]:
    with Child("tests.sandbox.no_filter_child", LIMITS) as started:
        yield started


def failure_of(child: Child, *order: Any) -> ChildFailed:
    with pytest.raises(ChildFailed) as failed:
        child.ask(Order(*order), object)
    return failed.value


@on_linux
def test_it_says_by_which_means_it_is_confined(child: Child) -> None:
    assert child.means == tuple(Confinement)


@on_linux
@pytest.mark.parametrize(
    "order",
    [
        ("open", "/etc/passwd"),
        ("open", "/proc/self/environ"),
        ("write", "/tmp/written"),
        ("list", "/"),
        ("stat", "/etc/passwd"),
        ("socket",),
        ("udp",),
        ("unix",),
        ("fork",),
        ("exec", "/bin/true"),
        ("run", "/bin/true"),
        ("memfd",),
        ("pipe",),
        ("kill", "", os.getpid()),
        pytest.param(("call", "", 425), id="io_uring_setup"),
        pytest.param(("call", "", 1 << 30), id="another-convention"),
    ],
)
def test_code_in_it_opens_nothing_and_starts_nothing(child: Child, order: tuple[Any, ...]) -> None:
    refused = failure_of(child, *order)
    assert "[Errno 1]" in refused.traceback
    assert str(refused) == "makes its library fail"


@pytest.mark.parametrize(
    "order",
    [("open", "/etc/passwd"), ("write", "/tmp/written"), ("socket",), ("udp",), ("pipe",)],
)
def test_where_the_kernel_has_no_means_its_limits_still_refuse(
    older_kernel: Child, order: tuple[Any, ...]
) -> None:
    assert older_kernel.means == (Confinement.RESOURCE_LIMITS,)
    assert "Too many open files" in failure_of(older_kernel, *order).traceback


@on_linux
@pytest.mark.parametrize(
    "order",
    [("open", "/etc/passwd"), ("write", "/tmp/written"), ("list", "/"), ("exec", "/bin/true")],
)
def test_landlock_alone_refuses_files(no_filter: Child, order: tuple[Any, ...]) -> None:
    assert Confinement.LANDLOCK in no_filter.means
    assert "[Errno 13]" in failure_of(no_filter, *order).traceback


@on_linux
def test_landlock_alone_refuses_connections_and_signals(no_filter: Child) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert "[Errno 13]" in failure_of(no_filter, "connect", address).traceback
    assert "[Errno 1]" in failure_of(no_filter, "kill", "", os.getpid()).traceback


@on_linux
def test_code_in_it_connects_nowhere(child: Child) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        refused = failure_of(child, "connect", f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "Error" in refused.traceback


@on_linux
def test_code_in_it_starts_no_thread(child: Child) -> None:
    assert "can't start new thread" in failure_of(child, "thread").traceback


def test_what_a_library_prints_is_no_answer(child: Child) -> None:
    child.ask(Order("print", "not an answer"), object)
    assert child.ask(Order("echo", "an answer"), str) == "an answer"


@pytest.mark.parametrize(
    ("order", "failure"),
    [
        (("work",), ChildFailure.TIME),
        (("say", "", 2_000_000), ChildFailure.OUTPUT),
        (("crash",), ChildFailure.CRASH),
        (("segfault",), ChildFailure.CRASH),
    ],
)
def test_what_takes_too_much_ends_it_and_the_reason_is_known(
    order: tuple[Any, ...], failure: ChildFailure
) -> None:
    with Child(MODULE, LIMITS) as child:
        assert failure_of(child, *order).failure is failure
        assert not child.running
        assert failure_of(child, "echo").failure is failure


@on_linux
def test_too_much_memory_and_an_exception_leave_it_running(child: Child) -> None:
    assert failure_of(child, "allocate", "", 2**31).failure is ChildFailure.MEMORY
    assert failure_of(child, "fail", "x").failure is ChildFailure.ERROR
    assert child.ask(Order("echo", "still there"), str) == "still there"


def test_the_clock_ends_what_only_waits() -> None:
    with Child(MODULE, LIMITS) as child:
        assert child.ask(Order("echo", "started"), str)
        with pytest.raises(ChildFailed, match="takes too long"):
            child.ask(Order("sleep", "", 60), object, time_limit_s=0.05)


def test_another_thread_ends_what_nobody_waits_for_any_more() -> None:
    with Child(MODULE, LIMITS) as child:
        assert child.ask(Order("echo", "started"), str)
        killing = threading.Timer(0.05, child.kill)
        killing.start()
        assert failure_of(child, "sleep", "", 60).failure is ChildFailure.STOPPED
        killing.join()


@on_linux
def test_it_has_nothing_of_the_service_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY_LLAMA", "sk-or-planted")
    with Child(MODULE, LIMITS) as child:
        pid = child.ask(Order("pid"), int)
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0] for entry in environment if entry}
    assert names <= {
        *(b"PATH", b"OMP_THREAD_LIMIT", b"OPENBLAS_NUM_THREADS"),
        *(b"LD_LIBRARY_PATH", b"TMPDIR"),
    }


SERVICE = f"""
import threading
from app.sandbox import Child, Limits
from tests.sandbox.hostile_child import Order
child = Child({MODULE!r}, Limits(time_s=60))
print(child.ask(Order("pid"), int), flush=True)
child.ask(Order("sleep", "", 60), object)
"""


@on_linux
def test_it_ends_with_a_service_that_is_killed_even_while_it_works() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE) as service:
        assert service.stdout
        child = os.pidfd_open(int(service.stdout.readline()))
        ended = select.poll()
        ended.register(child, select.POLLIN)
        assert not ended.poll(0)
        service.kill()
    assert ended.poll(30_000)
    os.close(child)


@on_linux
def test_a_program_of_its_list_is_run_on_its_bytes_alone(child: Child) -> None:
    assert child.ask(Order("program", "some bytes"), str) == "some bytes"
    too_much = child.ask(Order("program", "x" * 2_000), str)
    assert too_much == "failed: makes too long an answer"
    # It reads no file that is not below the listed paths.
    assert child.ask(Order("another program", ""), str) == "failed: makes its process crash"


def test_a_spare_child_is_ready_and_a_dead_one_is_replaced() -> None:
    spare = Spare(lambda: Child(MODULE, LIMITS))
    try:
        with spare.take() as first, spare.take() as second:
            one, other = (child.ask(Order("pid"), int) for child in (first, second))
            assert one != other
        ready = spare._next
        assert ready
        ready.kill()
        ready._process.wait()
        with spare.take() as third:
            assert third is not ready
            assert third.ask(Order("echo", "there"), str) == "there"
    finally:
        spare.close()
    assert spare._next is None


def test_the_group_of_a_child_is_its_own() -> None:
    with Child(MODULE, LIMITS) as child:
        pid = child.ask(Order("pid"), int)
        assert os.getpgid(pid) == pid != os.getpgid(0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
