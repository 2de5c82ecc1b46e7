"""The processes that are measured: started, watched through /proc, ended."""

import asyncio
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_START_LIMIT_S = 60.0
_SETTLED_LIMIT_S = 600.0
_IDLE_FOR_S, _IDLE_SHARE = 1.0, 0.03


@dataclass(frozen=True)
class Server:
    """A process that listens on a loopback port, with all that it has started."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """Processor seconds of the process tree so far."""
        return sum(_ticks(pid) for pid in _tree(self.pid)) / _TICKS

    async def settled(self) -> None:
        """Wait until it is idle: what it loads after its start is no request's."""
        deadline = time.monotonic() + _SETTLED_LIMIT_S
        while time.monotonic() < deadline:
            before = self.cpu_s()
            await asyncio.sleep(_IDLE_FOR_S)
            if self.cpu_s() - before < _IDLE_SHARE * _IDLE_FOR_S:
                return

    def memory_mb(self) -> float:
        """Resident memory of the process tree."""
        return sum(_status_mb(pid, "VmRSS") for pid in _tree(self.pid))

    def peak_mb(self) -> float:
        """The most that its processes have had in memory since the last `forget_peak`."""
        return sum(_status_mb(pid, "VmHWM") for pid in _tree(self.pid))

    def forget_peak(self) -> None:
        """Count the peak from now on."""
        for pid in _tree(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def serving(
    command: Sequence[str | Path],
    port: int,
    log: Path,
    ready: str = "/",
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> AsyncIterator[Server]:
    """The process in `folder`, once `ready` answers. Raises `RuntimeError` when it ends before."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + _START_LIMIT_S
        answers = False
        while not answers:
            answers = await asyncio.to_thread(_answers, f"http://127.0.0.1:{port}{ready}")
            # Where it has ended, somebody else answers at its port.
            if process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {_end_of(log)}")
            await asyncio.sleep(0.1)
        yield Server(process.pid, port)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5)  # noqa: S310 - loopback
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for known in pids:
        try:
            for children in Path(f"/proc/{known}/task").glob("*/children"):
                pids += map(int, children.read_text().split())
        except OSError:
            continue  # it has ended
    return pids


def _ticks(pid: int) -> int:
    try:
        # The name may hold spaces; it ends in the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    # With the children that have ended and were waited for.
    return sum(map(int, fields[11:15]))


def _status_mb(pid: int, name: str) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith(name)), None)
    return int(line.split()[1]) / 1024 if line else 0.0
