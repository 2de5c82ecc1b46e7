"""Hostile files are read in a child process that may be killed: the service goes on.

The child has no secrets in its environment, bounds on its memory and time, and
may write no file. It is one process for many files, since it takes a second to
start, begun with the first file that needs it.
"""

import logging
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import PurePath
from types import TracebackType
from typing import IO, Self

import msgspec

from app.errors import DocumentRejected
from app.retrieval.extractors.formats import SUFFIXES, Format
from app.retrieval.preparation import Prepared, prepare
from app.settings import CHILD_ENVIRONMENT, ROOT

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 120.0
"""For one file by the clock: 381 pages of tables take 1 s of an idle processor."""
CPU_LIMIT_S = 60
MEMORY_LIMIT_BYTES = 1536 * 1024 * 1024
"""Of addresses: Python with its libraries takes 300 MB of them, a PDF of 20 MB 400."""

# Text of this size is prepared in some milliseconds and by code that knows no format:
# as safe here, and a start with small documents needs no child.
_SMALL_BYTES = 64 * 1024
_LENGTH_BYTES = 8


class Request(msgspec.Struct):
    """A file for the child to prepare."""

    content: bytes
    name: str
    force: bool


class Reply(msgspec.Struct):
    """What the child made of it: `prepared`, or `rejected` with the reason.

    `traceback` is of a library that failed on the file, or of a mistake of ours.
    """

    prepared: Prepared | None = None
    rejected: str | None = None
    traceback: str | None = None
    out_of_memory: bool = False


class Reader:
    """Prepares files, one at a time. Blocks; a context manager that ends its child."""

    def __init__(
        self,
        time_limit_s: float = TIME_LIMIT_S,
        cpu_limit_s: int = CPU_LIMIT_S,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        self._time_limit_s = time_limit_s
        self._limits = (str(cpu_limit_s), str(memory_limit_bytes))
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def prepare(self, content: bytes, name: str, *, force: bool = False) -> Prepared:
        """Read and cut the file of that name.

        Raises `DocumentRejected`, also when reading it takes too long or too much memory.
        """
        plain = SUFFIXES.get(PurePath(name).suffix.lower()) in (Format.MARKDOWN, Format.TEXT)
        if plain and not force and len(content) <= _SMALL_BYTES:
            return prepare(content, name)
        request = Request(content, name, force)
        used = self._child is not None
        reply = self._ask(request)
        if reply.out_of_memory:
            self._end()
            # What earlier files left behind does not count against this one.
            reply = self._ask(request) if used else reply
        if reply.traceback:
            logger.warning("reading %s failed:\n%s", name, reply.traceback)
        if reply.prepared is None:
            raise DocumentRejected(reply.rejected or "cannot be read")
        return reply.prepared

    def _ask(self, request: Request) -> Reply:
        child = self._child = self._child or self._start()
        assert child.stdin
        assert child.stdout
        late = threading.Timer(self._time_limit_s, child.kill)
        late.start()
        try:
            with suppress(BrokenPipeError):  # the end of its output tells why
                send(child.stdin, msgspec.msgpack.encode(request))
            answer = receive(child.stdout)
        finally:
            late.cancel()
        if answer is None:
            raise DocumentRejected(self._epitaph(child))
        return msgspec.msgpack.decode(answer, type=Reply)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "app.retrieval.reader_child", *self._limits],
            cwd=ROOT,
            # One thread, since each reserves addresses.
            env={**CHILD_ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the service, which ends this process.
            start_new_session=True,
        )

    def _epitaph(self, child: subprocess.Popen[bytes]) -> str:
        self._end()
        match -(child.returncode or 0):
            case signal.SIGXCPU | signal.SIGKILL:
                return "takes too long to be read, or too much memory"
            case ended_by:
                logger.error("the process that reads files ended with code %d", -ended_by)
                return "makes its reader crash"

    def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            child.kill()
            child.communicate()


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message."""
    stream.write(len(message).to_bytes(_LENGTH_BYTES))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one message; None when the other end is gone."""
    length = int.from_bytes(stream.read(_LENGTH_BYTES))
    message = stream.read(length) if length else b""
    return message if length and len(message) == length else None
