"""A child whose code is taken over: it does what it is asked."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from app.errors import ChildFailed
from app.sandbox import run_program, serve


class Order(msgspec.Struct):
    """What to try, and on what."""

    what: str
    on: str = ""
    number: int = 0


def _connect(address: str) -> None:
    host, port = address.split(":")
    with socket.socket() as made:
        made.connect((host, int(port)))


def _raw(number: int) -> None:
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.syscall(number, 0, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _program(name: str, content: str) -> str:
    try:
        return run_program(name, content.encode()).decode()
    except ChildFailed as error:
        return f"failed: {error}"


ORDERS: dict[str, Callable[[Order], object]] = {
    "echo": lambda order: order.on,
    "open": lambda order: Path(order.on).read_text(),
    "write": lambda order: Path(order.on).write_text("x"),
    "list": lambda order: os.listdir(order.on),  # noqa: PTH208
    "stat": lambda order: os.stat(order.on).st_size,  # noqa: PTH116
    "socket": lambda _: socket.socket(),
    "udp": lambda _: socket.socket(type=socket.SOCK_DGRAM),
    "unix": lambda _: socket.socketpair(),
    "connect": lambda order: _connect(order.on),
    "fork": lambda _: os.fork(),
    "exec": lambda order: os.execv(order.on, [order.on]),
    "run": lambda order: subprocess.run([order.on]),
    "thread": lambda _: threading.Thread(target=print).start(),
    "kill": lambda order: os.kill(order.number, signal.SIGKILL),
    "memfd": lambda _: os.memfd_create("x"),
    "pipe": lambda _: os.pipe(),
    "call": lambda order: _raw(order.number),
    "allocate": lambda order: len(b"x" * order.number),
    "say": lambda order: "x" * order.number,
    "print": lambda order: print(order.on, flush=True),  # noqa: T201
    "sleep": lambda order: time.sleep(order.number),
    "work": lambda _: sum(iter(int, 1)),
    "crash": lambda _: os._exit(3),
    "segfault": lambda _: ctypes.string_at(0),
    "fail": lambda order: int(order.on),
    "pid": lambda _: os.getpid(),
    "program": lambda order: _program("program", order.on),
    "another program": lambda order: _program("another", order.on),
}

if __name__ == "__main__":
    "localhost".encode("idna")  # imported when the first address is
    serve(lambda order: ORDERS[order.what](order), Order)
