"""The child's side: confine the process, then answer requests until the service closes the pipe."""

import importlib
import os
import pkgutil
import resource
import select
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import IO, TypeVar

import msgspec

from app.errors import ChildFailed, ChildFailure
from app.sandbox.confinement import be_ended_first, bound, give_up_files, give_up_system_calls
from app.sandbox.messages import Answer, Failed, Limits, Output, Ready, Run, receive, send

Request = TypeVar("Request")


def serve(handle: Callable[[Request], object], request: type[Request]) -> None:
    """Answer requests, one after another, and end the process when there are no more.

    Call it when all that `handle` needs is imported and read: a confined child can open nothing
    from then on.

    Args:
        handle: Makes the answer, anything that msgspec encodes.
        request: The type that requests are decoded into.
    """
    global _answers
    requests = sys.stdin.buffer
    # Whatever a library prints must not get between the answers.
    _answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    limits = msgspec.msgpack.decode(receive(requests) or b"", type=Limits)
    send(_answers, Ready([str(means) for means in _confine(limits)]))
    decoder = msgspec.msgpack.Decoder(request)
    while (message := receive(requests)) is not None:
        if limits.cpu_s:
            _allow_processor_time(limits.cpu_s)
        send(_answers, _answered(handle, decoder, message))
    os._exit(0)


def run_program(name: str, content: bytes) -> bytes:
    """Have the service run one of the child's programs; for code that `serve` calls.

    Args:
        name: The program's name in the `programs` of the `Child`.
        content: Its standard input.

    Returns:
        Its standard output.

    Raises:
        ChildFailed: The program took too much of something, or ended with an error.
    """
    send(_answers, Run(name, content))
    message = receive(sys.stdin.buffer)
    output = msgspec.msgpack.decode(message or b"", type=Output)
    if output.failure:
        raise ChildFailed(output.failure)
    return output.content


def import_all(package: ModuleType) -> None:
    """Import every module of a package, for libraries that import some of their own when used."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # of another system
                importlib.import_module(module.name)


_answers: IO[bytes]


def _confine(limits: Limits) -> list[str]:
    be_ended_first()
    if limits.memory_bytes:
        bound(resource.RLIMIT_AS, limits.memory_bytes)
    means = give_up_files() if limits.confined else []
    threading.Thread(target=_end_with_service, daemon=True).start()
    return [*means, *(give_up_system_calls() if limits.confined else [])]


def _end_with_service() -> None:
    """End this process when the service is gone, whatever it does at the time."""
    closed = select.poll()
    closed.register(0, select.POLLHUP)
    closed.poll()
    os._exit(1)


def _allow_processor_time(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The soft limit: it is what the kernel acts on, and can be moved for the next request.
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard)
    )


def _answered(
    handle: Callable[[Request], object],
    decoder: "msgspec.msgpack.Decoder[Request]",
    message: bytes,
) -> Answer | Failed:
    try:
        answer = handle(decoder.decode(message))
        return Answer(msgspec.Raw(msgspec.msgpack.encode(answer)))
    except MemoryError:
        return Failed(ChildFailure.MEMORY, "")
    except Exception:  # hostile bytes make libraries raise anything
        return Failed(ChildFailure.ERROR, traceback.format_exc())
