"""Hostile files are read in a child process that may be killed: the service goes on.

The child is confined and bounded in memory and time. It is one process for the files of one
ingest, and never for those of two.
"""

import logging
from collections.abc import Callable
from pathlib import PurePath
from types import TracebackType
from typing import Final, Self

import msgspec

from app.errors import ChildFailed, ChildFailure, DocumentRejected
from app.retrieval.extractors import recognition
from app.retrieval.extractors.formats import SUFFIXES, Format
from app.retrieval.preparation import Prepared, prepare
from app.sandbox import Child, Limits

logger = logging.getLogger(__name__)

LIMITS: Final = Limits(
    # For one file: 381 pages of tables take 1 s of an idle processor.
    time_s=120,
    cpu_s=60,
    # Of addresses: Python with its libraries takes 400 MB of them, a PDF of 20 MB 500.
    memory_bytes=1536 * 1024**2,
    answer_bytes=128 * 1024**2,
)

# Text of this size is prepared in some milliseconds and by code that knows no format:
# as safe here, and a start with small documents needs no child.
_SMALL_BYTES: Final = 64 * 1024

_REASONS: Final = {
    ChildFailure.TIME: "takes too long to be read",
    ChildFailure.MEMORY: "takes too much memory to be read",
    ChildFailure.OUTPUT: "holds too much text",
    ChildFailure.CRASH: "makes its reader crash",
    ChildFailure.ERROR: "is damaged: it does not read as its name's format",
    ChildFailure.STOPPED: "was not read: the ingest was stopped",
}


class Request(msgspec.Struct):
    """A file for the child to prepare."""

    content: bytes
    name: str
    force: bool


class Reply(msgspec.Struct):
    """What the child made of it: `prepared`, or `rejected` with the reason."""

    prepared: Prepared | None = None
    rejected: str | None = None


def start_child(limits: Limits = LIMITS) -> Child:
    """A process that reads files."""
    program = recognition.program()
    programs = {recognition.PROGRAM: program} if program else {}
    return Child("app.retrieval.reader_child", limits, programs)


def reads_here(content: bytes, name: str, *, force: bool) -> bool:
    """Whether the file is read in this process: it is short, and of no hostile format."""
    plain = SUFFIXES.get(PurePath(name).suffix.lower()) in (Format.MARKDOWN, Format.TEXT)
    return plain and not force and len(content) <= _SMALL_BYTES


class Reader:
    """Prepares files, one at a time. Blocks; a context manager that ends its child.

    Args:
        start: Where a child comes from, when the first file needs one.
    """

    def __init__(self, start: Callable[[], Child] = start_child) -> None:
        self._start = start
        self._child: Child | None = None
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child, and wait until it is gone."""
        self._end()

    def stop(self) -> None:
        """Read no further, from another thread: what is being read is rejected at once."""
        self._stopped = True
        if child := self._child:
            child.kill()

    def prepare(self, content: bytes, name: str, *, force: bool = False) -> Prepared:
        """Read and cut the file of that name.

        Raises:
            DocumentRejected: It cannot be read, or not within the bounds of time and memory.
        """
        if reads_here(content, name, force=force):
            return prepare(content, name)
        try:
            reply = self._ask(Request(content, name, force))
        except ChildFailed as error:
            if error.traceback:
                logger.warning("reading %s failed:\n%s", name, error.traceback)
            raise DocumentRejected(_REASONS[error.failure]) from error
        if reply.prepared is None:
            raise DocumentRejected(reply.rejected or "cannot be read")
        return reply.prepared

    def _ask(self, request: Request) -> Reply:
        used = self._child is not None
        try:
            return self._asked(request)
        except ChildFailed as error:
            if error.failure is ChildFailure.ERROR:
                raise
            self._end()
            if error.failure is not ChildFailure.MEMORY or not used:
                raise
        # What earlier files left behind does not count against this one.
        return self._asked(request)

    def _asked(self, request: Request) -> Reply:
        child = self._child = self._child or self._start()
        if self._stopped:
            child.kill()
        return child.ask(request, Reply)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            child.close()
