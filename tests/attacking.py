"""A service that is attacked: in a process of its own, in little memory, and watched meanwhile."""

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from tests.keys import bearing

ZANTARA = str(Path(sys.executable).with_name("zantara"))
MEMORY_LIMIT = 1024**3
GROUPS = Path("/sys/fs/cgroup/memory")
"""Of version 1, where it is mounted."""
START_LIMIT_S = 120


@dataclass
class Watched:
    """What was seen of a service while it was attacked."""

    slowest_health_s: float = 0.0
    grown_mb: float = 0.0
    processor_s: float = 0.0
    alive: bool = True


@dataclass
class Victim:
    """A running service."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout_s: float = 30.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def send(self, pieces: Iterable[bytes], timeout_s: float = 30.0) -> bytes:
        """Send until the pieces end or nobody takes them; what is answered until the close."""
        deadline = time.monotonic() + timeout_s
        with self.connect(timeout_s) as connection:
            with suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
                    if time.monotonic() > deadline:
                        break
            return answered(connection)

    def memory_mb(self, of: str = "VmRSS") -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(of)) / 1024

    def processor_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_idle(self, limit_s: float = 30.0) -> None:
        """Wait until what is loaded after the start is there."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            spent = self.processor_s()
            time.sleep(0.5)
            if self.processor_s() - spent < 0.05:
                return

    @contextmanager
    def watched(self) -> Iterator[Watched]:
        """Asks for `/health` again and again; what was seen is complete after the block."""
        seen, over = Watched(), threading.Event()
        self._forget_the_highest()
        before, spent = self.memory_mb(), self.processor_s()

        def ask() -> None:
            while not over.is_set():
                began = time.monotonic()
                with suppress(OSError, httpx.HTTPError):
                    httpx.get(f"{self.url}/health", timeout=30).raise_for_status()
                seen.slowest_health_s = max(seen.slowest_health_s, time.monotonic() - began)
                over.wait(0.02)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield seen
        finally:
            over.set()
            asking.join()
            try:
                seen.grown_mb = self.memory_mb("VmHWM") - before
                seen.processor_s = self.processor_s() - spent
                seen.alive = httpx.get(f"{self.url}/health", timeout=30).is_success
            except (OSError, httpx.HTTPError, StopIteration):
                seen.alive = False

    def _forget_the_highest(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def answered(connection: socket.socket) -> bytes:
    """All that comes until the connection ends, or nothing more comes."""
    found = bytearray()
    with suppress(OSError):
        while piece := connection.recv(65536):
            found += piece
    return bytes(found)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class MemoryLimit:
    """A gigabyte for a process and its children: a cgroup, or its address space where none is."""

    def __init__(self, name: str) -> None:
        self._group = GROUPS / name
        try:
            self._group.mkdir()
            (self._group / "memory.limit_in_bytes").write_text(str(MEMORY_LIMIT))
            self.kind = "cgroup of 1 GB"
        except OSError:
            self._group = Path()
            self.kind = "1 GB more of address space"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._group.name:
            for _attempt in range(100):
                with suppress(OSError):
                    self._group.rmdir()
                    return
                time.sleep(0.05)

    def enter(self) -> None:
        """Called by the process itself, before it runs its program."""
        if self._group.name:
            (self._group / "cgroup.procs").write_text(str(os.getpid()))

    def hold(self, pid: int) -> None:
        """Called once it has started: what it has by then is its own."""
        if not self._group.name:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + MEMORY_LIMIT
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


@contextmanager
def victim(env: dict[str, str], log: Path, key: str = "") -> Iterator[Victim]:
    """`zantara serve`, ready, in a gigabyte; ended after the block. `key` is one for its start."""
    port = int(env["PORT"])
    with MemoryLimit(f"zantara-{port}") as limit, log.open("wb") as stderr:
        process = subprocess.Popen(
            (ZANTARA, "serve"),
            env=env,
            cwd=log.parent,
            stderr=stderr,
            preexec_fn=limit.enter,
        )
        try:
            _wait_until_ready(process, port, log, key)
            limit.hold(process.pid)
            running = Victim(port, process.pid)
            running.wait_idle()
            yield running
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, key: str) -> None:
    headers = bearing(key) if key else {}
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the service did not start: {log.read_text()}")
        with suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{port}"
            # The embedder too has what it needs, so that memory grows by what is sent alone.
            if httpx.get(f"{url}/ready").is_success:
                found = httpx.post(
                    f"{url}/search", json={"query": "KITAS"}, headers=headers, timeout=30
                )
                if found.is_error or not found.json()["degraded"]:
                    return
        time.sleep(0.05)
    raise RuntimeError(f"the service was not ready within {START_LIMIT_S} s: {log.read_text()}")
