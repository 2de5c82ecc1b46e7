"""The service's side: start a child, ask it, and end it."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from app.errors import ChildFailed, ChildFailure
from app.sandbox.messages import (
    Answer,
    Failed,
    FromChild,
    Limits,
    Output,
    Program,
    Ready,
    Run,
    TooLong,
    receive,
    send,
)
from app.sandbox.processes import Deadline, in_memory, kill_group, pipe, started

logger = logging.getLogger(__name__)

_decoder: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)

Reply = TypeVar("Reply")

_START_LIMIT_S: Final = 60.0
"""Until a child is ready: imports take a second of an idle processor."""
_ENVELOPE_BYTES: Final = 100_000
"""Of a message, besides the answer: a traceback at the most."""


class Child:
    """A child process that carries out one request at a time; `serve` is its other end.

    A context manager that ends the process. After a failure other than `ChildFailure.ERROR` and
    `ChildFailure.MEMORY` the process is gone, and another `Child` is needed.

    Args:
        module: Its main module, which calls `serve`.
        limits: Its bounds.
        programs: What `run_program` may ask for, by name.
    """

    def __init__(
        self, module: str, limits: Limits, programs: Mapping[str, Program] | None = None
    ) -> None:
        self._limits = limits
        self._programs = programs or {}
        self._asking = threading.Lock()
        self._failure: ChildFailure | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._means: tuple[str, ...] | None = None
        self._process = started([sys.executable, "-m", module], subprocess.PIPE)
        with suppress(BrokenPipeError):  # the first request tells why
            send(pipe(self._process.stdin), limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def means(self) -> tuple[str, ...]:
        """By what it is confined. Blocks until it is ready; raises `ChildFailed`."""
        with self._asking:
            return self._ready()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def ask(self, request: object, reply: type[Reply], time_limit_s: float | None = None) -> Reply:
        """Send a request and wait for the answer. Blocks; one thread at a time is served.

        Args:
            request: Anything that msgspec encodes.
            reply: The type of the answer.
            time_limit_s: Seconds by the clock, instead of the child's limit.

        Raises:
            ChildFailed: It took too much of something, or failed on the request.
        """
        with self._asking:
            if self._failure:
                raise ChildFailed(self._failure)
            self._ready()
            with self._no_longer_than(time_limit_s or self._limits.time_s):
                answer = self._exchange(request)
            match answer:
                case Answer(body):
                    return msgspec.msgpack.decode(body, type=reply)
                case Failed(failure, traceback):
                    raise ChildFailed(failure, traceback)
            raise self._ended(ChildFailure.CRASH)

    def kill(self) -> None:
        """End it at once, whatever it does; from any thread."""
        self._kill(ChildFailure.STOPPED)

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        with self._asking:
            self._process.communicate()

    def _ready(self) -> tuple[str, ...]:
        if self._means is None:
            with self._no_longer_than(_START_LIMIT_S):
                ready = self._received()
            if not isinstance(ready, Ready):
                raise self._ended(ChildFailure.CRASH)
            self._means = tuple(ready.means)
        return self._means

    def _exchange(self, request: object) -> FromChild:
        self._send(request)
        while isinstance(answer := self._received(), Run):
            self._send(self._run(answer))
        return answer

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError):  # the end of its output tells why
            send(pipe(self._process.stdin), message)

    def _received(self) -> FromChild:
        limit = self._limits.answer_bytes + _ENVELOPE_BYTES
        try:
            message = receive(pipe(self._process.stdout), limit)
            if message is None:
                raise self._ended(None)
            return _decoder.decode(message)
        except TooLong:
            raise self._ended(ChildFailure.OUTPUT) from None
        except msgspec.MsgspecError:
            raise self._ended(ChildFailure.CRASH) from None

    def _no_longer_than(self, seconds: float) -> "Deadline":
        return Deadline(seconds, lambda: self._kill(ChildFailure.TIME))

    def _kill(self, failure: ChildFailure) -> None:
        self._failure = self._failure or failure
        kill_group(self._process)
        if self._program:
            kill_group(self._program)

    def _ended(self, failure: ChildFailure | None) -> ChildFailed:
        """End the process, and tell why it ended: what is known, else by its exit code."""
        if failure:
            kill_group(self._process)
        self._process.communicate()
        code = self._process.returncode
        self._failure = self._failure or failure or _failure_of(code) or ChildFailure.CRASH
        if self._failure is ChildFailure.CRASH:
            logger.error("a child process ended with code %d", code)
        return ChildFailed(self._failure)

    def _run(self, wanted: Run) -> Output:
        program = self._programs.get(wanted.program)
        if program is None:
            return Output(failure=ChildFailure.ERROR)
        with in_memory(wanted.content) as content:
            process = self._program = started(_confined_command(program), content)
        try:
            if self._failure:  # killed before the program was there
                kill_group(process)
            return _output(process, program.limits)
        finally:
            self._program = None
            kill_group(process)
            process.communicate()


class Spare:
    """Children of one kind, of which one is started before it is needed.

    The first `take` waits for its child to start; from then on the next is ready.

    Args:
        make: Starts a child.
    """

    def __init__(self, make: Callable[[], Child]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._next: Child | None = None
        self._closed = False

    def take(self) -> Child:
        """A child that served nobody; whoever takes it ends it. Blocks for some milliseconds."""
        with self._lock:
            child, self._next = self._next, None if self._closed else self._make()
        if child and child.running:
            return child
        if child:
            child.close()
        return self._make()

    def close(self) -> None:
        """End the one that is ready; no other is made ready afterwards."""
        with self._lock:
            self._closed = True
            child, self._next = self._next, None
        if child:
            child.close()


def _failure_of(code: int) -> ChildFailure | None:
    """What an exit code tells; None for 0."""
    match -code:
        case 0:
            return None
        case signal.SIGXCPU:
            return ChildFailure.TIME
        case signal.SIGKILL:
            # Not ours: the kernel kills what takes the machine's or the container's last memory.
            return ChildFailure.MEMORY
        case _:
            return ChildFailure.CRASH


def _confined_command(program: Program) -> list[str]:
    limits = program.limits
    bounds = [str(limits.cpu_s or -1), str(limits.memory_bytes or -1)]
    readable = os.pathsep.join(program.readable)
    return [sys.executable, "-m", "app.sandbox.program", *bounds, readable, *program.command]


def _output(process: "subprocess.Popen[bytes]", limits: Limits) -> Output:
    with Deadline(limits.time_s, lambda: kill_group(process)) as deadline:
        content = pipe(process.stdout).read(limits.answer_bytes + 1)
        if len(content) > limits.answer_bytes:
            return Output(failure=ChildFailure.OUTPUT)
        code = process.wait()
    if deadline.passed:
        return Output(failure=ChildFailure.TIME)
    failure = _failure_of(code)
    return Output(failure=failure) if failure else Output(content)
