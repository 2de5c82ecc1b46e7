"""Linux's filter of system calls, put together here and handed to the kernel.

The libraries for this need a libseccomp.so that the system may not have, or are not kept up; a
list of allowed calls takes one BPF instruction for each.
"""

import ctypes
import platform
import struct
from collections.abc import Iterable
from errno import EPERM
from resource import RLIMIT_CPU
from typing import Final

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP_SYSCALL: Final = {"x86_64": 317, "aarch64": 277}

# Number on x86_64, number on aarch64; -1 where there is none.
_COMPUTING: Final = {
    "read": (0, 63), "readv": (19, 65), "write": (1, 64), "writev": (20, 66),
    "close": (3, 57), "lseek": (8, 62), "fstat": (5, 80), "poll": (7, -1), "ppoll": (271, 73),
    "select": (23, -1), "pselect6": (270, 72),
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226),
    "madvise": (28, 233), "brk": (12, 214), "membarrier": (324, 283),
    "futex": (202, 98), "rseq": (334, 293), "set_robust_list": (273, 99),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, -1), "times": (100, 153),
    "getrandom": (318, 278), "getpid": (39, 172), "gettid": (186, 178), "getrusage": (98, 165),
    "sysinfo": (99, 179), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
_STARTING_A_PROGRAM: Final = {
    "execve": (59, 221), "openat": (257, 56), "open": (2, -1), "pread64": (17, 67),
    "newfstatat": (262, 79), "stat": (4, -1), "lstat": (6, -1), "statx": (332, 291),
    "access": (21, -1), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, -1), "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17),
    "fcntl": (72, 25), "dup": (32, 23), "fadvise64": (221, 223), "uname": (63, 160),
    "arch_prctl": (158, -1), "set_tid_address": (218, 96), "getppid": (110, 173),
    "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
}  # fmt: skip
_PRLIMIT64: Final = {"x86_64": 302, "aarch64": 261}

_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | EPERM
_X32 = 0x40000000
"""From here on x86_64 counts the calls of another convention."""
_SET_FILTER, _FOR_ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(*, may_exec: bool = False) -> bool:
    """Let all threads of this process make no system call but those that computing takes.

    What is refused fails with EPERM. Privileges that come with a file are given up before.

    Args:
        may_exec: Whether the process becomes another program, which opens its libraries.

    Returns:
        False where the kernel has no such filter, or the processor is not known.
    """
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in _AUDIT_ARCH:
        return False
    column = list(_AUDIT_ARCH).index(machine)
    calls = _COMPUTING | (_STARTING_A_PROGRAM if may_exec else {})
    instructions = _assembled(machine, [numbers[column] for numbers in calls.values()])
    program = _Program(len(instructions) // 8, instructions)
    kernel = ctypes.CDLL(None, use_errno=True)
    result = kernel.syscall(
        _SECCOMP_SYSCALL[machine], _SET_FILTER, _FOR_ALL_THREADS, ctypes.byref(program)
    )
    return bool(result == 0)


def _assembled(machine: str, allowed: Iterable[int]) -> bytes:
    """The filter: each instruction is a code, two distances to jump, and a value."""
    made = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for number in allowed:
        if number >= 0:
            made += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    made += [
        # Its own limit of processor time, which moves with each request; no other limit.
        (_JUMP_IF_EQUAL, 0, 5, _PRLIMIT64[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 1, RLIMIT_CPU),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in made)
