"""What the service and its children send each other, and how it lies on the pipe."""

from typing import IO

import msgspec

from app.errors import ChildFailure

_LENGTH_BYTES = 8
REQUEST_BYTES = 256 * 1024**2
"""The longest message to a child. What may be sent is bounded far below, by those who send it."""


class Limits(msgspec.Struct, frozen=True):
    """The bounds of one child.

    Attributes:
        time_s: Seconds by the clock for one request; the time to start does not count.
        cpu_s: Whole seconds of processor time for one request.
        memory_bytes: Address space of the process; the interpreter and libraries take 200 MB of it.
        answer_bytes: The longest answer.
        confined: Whether the child loses the right to open files and sockets.
    """

    time_s: float
    cpu_s: int | None = None
    memory_bytes: int | None = None
    answer_bytes: int = 64 * 1024**2
    confined: bool = True


class Program(msgspec.Struct, frozen=True):
    """A program that a confined child may have run on bytes of its choice, and nothing else.

    It reads its standard input, and only files below `readable`; it opens no socket, writes no
    file and starts no process.

    Attributes:
        command: The absolute path of the program, and its arguments.
        limits: The bounds of one run; `answer_bytes` are those of its standard output.
        readable: Paths that it may read and execute.
    """

    command: tuple[str, ...]
    limits: Limits
    readable: tuple[str, ...] = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")


class Ready(msgspec.Struct, tag=True):
    """The child has imported all that it needs, and is confined by these means."""

    means: list[str]


class Answer(msgspec.Struct, tag=True):
    """What the child made of the request."""

    body: msgspec.Raw


class Failed(msgspec.Struct, tag=True):
    """The child could not carry out the request; the traceback is for the log."""

    failure: ChildFailure
    traceback: str


class Run(msgspec.Struct, tag=True):
    """The child asks for a program to be run on some bytes."""

    program: str
    content: bytes


class Output(msgspec.Struct):
    """What the program wrote, or why it failed."""

    content: bytes = b""
    failure: ChildFailure | None = None


FromChild = Ready | Answer | Failed | Run


class TooLong(Exception):
    """A message is longer than allowed."""


def send(stream: IO[bytes], message: object) -> None:
    """Write one message."""
    encoded = msgspec.msgpack.encode(message)
    stream.write(len(encoded).to_bytes(_LENGTH_BYTES))
    stream.write(encoded)
    stream.flush()


def receive(stream: IO[bytes], limit: int = REQUEST_BYTES) -> bytes | None:
    """Read one message, still encoded.

    Args:
        stream: Where it comes from.
        limit: The most bytes that it may have.

    Returns:
        The message, or None when the other end is closed.

    Raises:
        TooLong: The message announces more than `limit` bytes.
    """
    length = int.from_bytes(stream.read(_LENGTH_BYTES))
    if length > limit:
        raise TooLong
    message = stream.read(length) if length else b""
    return message if length and len(message) == length else None
