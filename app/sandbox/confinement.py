"""What a child may no longer do, and by which of the kernel's means."""

import ctypes
import platform
import resource
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from app.sandbox import landlock, seccomp

_PR_SET_NO_NEW_PRIVS = 38


class Confinement(StrEnum):
    """A means that is in force; the first is everywhere."""

    RESOURCE_LIMITS = "resource limits"
    LANDLOCK = "Landlock"
    SECCOMP = "seccomp"


def bound(what: int, limit: int) -> None:
    """Lower a resource limit for good; macOS has no limit of addresses, and nothing happens."""
    with suppress(ValueError):
        resource.setrlimit(what, (limit, limit))


def be_ended_first() -> None:
    """Have the kernel end this process, and not the service, when memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def give_up_files() -> list[Confinement]:
    """Let this process open no file, and its TCP connect nowhere; call it with one thread."""
    bound(resource.RLIMIT_CORE, 0)
    bound(resource.RLIMIT_FSIZE, 0)
    means = _give_up_paths(())
    # No descriptor but the first may be made, and that one is in use.
    bound(resource.RLIMIT_NOFILE, 1)
    return [Confinement.RESOURCE_LIMITS, *means]


def give_up_system_calls() -> list[Confinement]:
    """Let all threads of this process do nothing but compute, and read and write what is open."""
    return [Confinement.SECCOMP] if seccomp.install() else []


def confine_program(cpu_s: int, memory_bytes: int, readable: Iterable[str]) -> None:
    """Confine this process before it becomes another program."""
    bound(resource.RLIMIT_CORE, 0)
    bound(resource.RLIMIT_FSIZE, 0)
    bound(resource.RLIMIT_CPU, cpu_s)
    bound(resource.RLIMIT_AS, memory_bytes)
    _give_up_paths(readable)
    seccomp.install(may_exec=True)


def _give_up_paths(readable: Iterable[str]) -> list[Confinement]:
    if platform.system() == "Linux":
        # Both means ask an ordinary user for this.
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return [Confinement.LANDLOCK] if landlock.restrict(readable) else []
