"""How long `zantara serve` takes to answer /health and to be ready, with an index already built.

The code is compiled first, as in the image. Both keys are set, as in production, and a
stand-in on loopback is asked whether they work. Beside the time on the clock, which a busy machine
stretches, stands the time on the processors, which it stretches less.

python -m scripts.bench_start [STARTS]
"""

import asyncio
import compileall
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from app.settings import ROOT
from bench.processes import Server
from scripts.benchmark_stand_in import stand_in

ZANTARA = str(Path(sys.executable).with_name("zantara"))
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the process to the first answers, and of its processors."""

    health_s: float
    ready_s: float
    ready_cpu_s: float


def start_once(environment: dict[str, str], port: int) -> Start:
    """Start it, wait until it is ready, end it."""
    began = time.perf_counter()
    command = [ZANTARA, "serve"]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stderr=log) as process:  # noqa: S603 - ours
        health, ready = (
            _until(f"http://127.0.0.1:{port}{path}", began) for path in ("/health", "/ready")
        )
        cpu = Server(process.pid, port).cpu_s()
        process.send_signal(signal.SIGTERM)
    return Start(health, ready, cpu)


def _until(url: str, began: float) -> float:
    while True:
        try:
            urllib.request.urlopen(url)  # noqa: S310 - a loopback address of ours
            return time.perf_counter() - began
        except (urllib.error.URLError, ConnectionError):
            time.sleep(POLL_S)


async def main(starts: int) -> None:
    """Print medians of `starts` starts, after one that builds the index."""
    compileall.compile_dir(ROOT / "app", quiet=1)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as data_dir:
        async with stand_in() as settings:
            given = {name.upper(): value for name, value in settings.items()}
            environment = {**os.environ, **given, "DATA_DIR": data_dir, "PORT": str(port)}
            starts_made = [
                await asyncio.to_thread(start_once, environment, port) for _ in range(1 + starts)
            ]
    first, *later = starts_made
    print(f"first start: {_shown([first])}")
    print(f"median of {starts} more: {_shown(later)} (load {os.getloadavg()[0]:.1f})")


def _shown(starts: list[Start]) -> str:
    health = statistics.median(start.health_s for start in starts)
    ready = statistics.median(start.ready_s for start in starts)
    cpu = statistics.median(start.ready_cpu_s for start in starts)
    return f"health {health:.2f} s, ready {ready:.2f} s, processors {cpu:.2f} s"


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
