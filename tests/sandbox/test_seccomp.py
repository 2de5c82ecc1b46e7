"""The filter, carried out here for both processors as the kernel would."""

import struct

import pytest

from app.sandbox import seccomp

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
RLIMIT_CPU, RLIMIT_NOFILE = 0, 7
ALLOWED = {
    "x86_64": {"read": 0, "write": 1, "mmap": 9, "futex": 202, "exit_group": 231},
    "aarch64": {"read": 63, "write": 64, "mmap": 222, "futex": 98, "exit_group": 94},
}
REFUSED = {
    "x86_64": {"open": 2, "openat": 257, "openat2": 437, "socket": 41, "connect": 42, "clone": 56,
               "clone3": 435, "fork": 57, "execve": 59, "ptrace": 101, "io_uring_setup": 425},
    "aarch64": {"openat": 56, "openat2": 437, "socket": 198, "connect": 203, "clone": 220,
                "clone3": 435, "execve": 221, "ptrace": 117, "io_uring_setup": 425},
}  # fmt: skip


def decided(machine: str, number: int, architecture: int, *arguments: int) -> int:
    """What the filter returns for a call."""
    numbers = list(seccomp._COMPUTING.values())
    column = list(ARCHITECTURES).index(machine)
    program = seccomp._assembled(machine, [each[column] for each in numbers])
    call = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    at, loaded = 0, 0
    instructions = list(struct.iter_unpack("<HBBI", program))
    while True:
        code, then, otherwise, value = instructions[at]
        at += 1
        match code:
            case seccomp._LOAD:
                (loaded,) = struct.unpack_from("<I", call, value)
            case seccomp._RETURN:
                return int(value)
            case seccomp._JUMP_IF_EQUAL:
                at += then if loaded == value else otherwise
            case seccomp._JUMP_IF_AT_LEAST:
                at += then if loaded >= value else otherwise


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_what_computing_takes_is_allowed_and_all_else_is_refused(machine: str) -> None:
    own = ARCHITECTURES[machine]
    for number in ALLOWED[machine].values():
        assert decided(machine, number, own) == seccomp._ALLOW
        assert decided(machine, number | seccomp._X32, own) == seccomp._REFUSE
        assert decided(machine, number, 0x40000003) == seccomp._REFUSE
    for name, number in REFUSED[machine].items():
        assert decided(machine, number, own) == seccomp._REFUSE, name


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_of_its_limits_it_may_move_that_of_processor_time_alone(machine: str) -> None:
    own, prlimit64 = ARCHITECTURES[machine], seccomp._PRLIMIT64[machine]
    assert decided(machine, prlimit64, own, 0, RLIMIT_CPU) == seccomp._ALLOW
    assert decided(machine, prlimit64, own, 0, RLIMIT_NOFILE) == seccomp._REFUSE
    assert decided(machine, prlimit64, own, 1, RLIMIT_CPU) == seccomp._REFUSE
