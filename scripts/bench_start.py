"""How long `zantara serve` takes to answer /health and to be ready, with an index already built.

The code is compiled first, as in the image. Both keys are set, as in production, and a
stand-in on loopback is asked whether they work.

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
from pathlib import Path

from app.settings import ROOT
from scripts.benchmark_stand_in import stand_in

ZANTARA = str(Path(sys.executable).with_name("zantara"))
POLL_S = 0.01


def start_once(environment: dict[str, str], port: int) -> tuple[float, float]:
    """Seconds to the first answer of /health and of /ready."""
    began = time.perf_counter()
    command = [ZANTARA, "serve"]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stderr=log) as process:  # noqa: S603 - ours
        times = [_until(f"http://127.0.0.1:{port}{path}", began) for path in ("/health", "/ready")]
        process.send_signal(signal.SIGTERM)
    return times[0], times[1]


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
            times = [
                await asyncio.to_thread(start_once, environment, port) for _ in range(1 + starts)
            ]
    first, *later = times
    load = os.getloadavg()[0]
    print(f"first start: health {first[0]:.2f} s, ready {first[1]:.2f} s")
    health, ready = (statistics.median(times) for times in zip(*later, strict=True))
    print(f"median of {starts} more: health {health:.2f} s, ready {ready:.2f} s (load {load:.1f})")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
