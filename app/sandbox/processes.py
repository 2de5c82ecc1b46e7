"""Processes of the operating system: started with nothing of the service's, killed as a group."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

_ROOT: Final = Path(__file__).resolve().parents[2]
ENVIRONMENT: Final = {"PATH": os.defpath, "OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1"} | {
    name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TMPDIR") if name in os.environ
}
"""Of every child: nothing of the service's own, keys among them."""


class Deadline:
    """Calls something unless its block ends in time; `passed` tells which it was."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self.passed = False
        self._call = call
        self._timer = threading.Timer(seconds, self._pass)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _pass(self) -> None:
        self.passed = True
        self._call()


def started(command: Sequence[str], requests: int | IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a process in a group of its own."""
    return subprocess.Popen(  # noqa: S603 - ourselves, or a program that the service names
        command,
        cwd=_ROOT,
        env=ENVIRONMENT,
        stdin=requests,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A group of its own, which is killed as one; Ctrl-C is for the service.
        start_new_session=True,
    )


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all that it started, unless it is gone."""
    if process.returncode is None:  # not waited for yet: the number is still its own
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A pipe that is there, as its process was started with it."""
    assert stream
    return stream


def in_memory(content: bytes) -> IO[bytes]:
    """A file that is in no directory, to be read from its start."""
    file: IO[bytes]
    if sys.platform == "linux":
        file = os.fdopen(os.memfd_create("input"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(content)
    file.seek(0)
    return file
