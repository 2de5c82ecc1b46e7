"""Hold the service under random faults for minutes, and see what is left: `make soak`.

A real service process, clients at its full concurrency, of whom some hang up, and both models
played by the fault matrix. Then all is at rest, and examined; then comes SIGTERM under load.
Writes `docs/reliability.md`, and ends with code 1 where anything was left, grew or broke off.
"""

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

import httpx

from app.settings import ROOT
from scripts.soak_clients import Clients, RandomUpstream
from tests.faults.breakages import bomb
from tests.service import until_ready
from tests.test_cli import environment, free_port

DOCUMENT = ROOT / "docs" / "reliability.md"
CONCURRENCY = 128
"""As many as one key may have under way by default, and all that this service admits."""
KEY = "zantara-key-of-the-soak"
WARM_UP_S = 60.0
LOOK_EVERY_S = 5.0
MAX_GROWTH = 0.05
"""Of resident memory, from the second quarter of the soak to the last."""
MIN_WHOLE = 0.25
"""Of the turns that were not hung up on: a service that refuses all leaves nothing behind."""
SETTINGS = {
    "MAX_CONCURRENT_REQUESTS": str(CONCURRENCY),
    "FIRST_CONTENT_TIMEOUT_S": "3",
    "IDLE_TIMEOUT_S": "3",
    "TOTAL_TIMEOUT_S": "12",
    "CIRCUIT_BREAKER": "false",
    "LOG_FORMAT": "json",
    # Everything is counted, and no limit is reached but that of the service.
    "API_KEYS": KEY,
    "DAILY_SPENDING_LIMIT_USD": "1000000",
    **{
        f"{what}_PER_{whose}": most
        for whose in ("KEY", "ADDRESS")
        for what, most in (
            ("REQUESTS_PER_MINUTE", "1000000"),
            ("TOKENS_PER_MINUTE", "1000000000"),
            ("CONCURRENT_REQUESTS", str(4 * CONCURRENCY)),
        )
    },
}


@dataclass(frozen=True)
class Look:
    """The service's process at one moment; memory in MB."""

    memory: float
    descriptors: int
    tasks: int
    streams: int
    """Calls of a model that are open."""


class Watched:
    """The process, looked at from outside."""

    def __init__(self, pid: int, tasks: Path, upstream: RandomUpstream) -> None:
        self._pid = pid
        self._tasks = tasks
        self._upstream = upstream

    async def look(self) -> Look:
        """How it stands now."""
        os.kill(self._pid, signal.SIGUSR1)
        async with asyncio.timeout(60):
            while (tasks := self._answer()) is None:  # noqa: ASYNC110 - a file tells no one
                await asyncio.sleep(0.01)
        memory, descriptors = self._process()
        return Look(memory, descriptors, tasks, self._upstream.connections)

    def _answer(self) -> int | None:
        told = self._tasks.read_text() if self._tasks.exists() else ""
        if not told:
            return None
        self._tasks.unlink()
        return int(told)

    def _process(self) -> tuple[float, int]:
        status = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        return memory / 1024, len(list(Path(f"/proc/{self._pid}/fd").iterdir()))

    async def until_settled(self, before: Look) -> Look:
        """How it stands when it is as it was, or after a minute."""
        for _ in range(60):
            now = await self.look()
            if now.tasks <= before.tasks and now.streams == 0:
                break
            await asyncio.sleep(1)
        return now


@dataclass(frozen=True)
class Figures:
    """What came of a soak."""

    minutes: float
    looks: Sequence[Look]
    before: Look
    after: Look
    clients: Clients
    at_the_end: Clients
    exit_code: int
    stopped_in_s: float
    log: str
    calls: int

    def faults(self) -> list[str]:
        """What must not be."""
        early, late = self._quarter(1), self._quarter(3)
        broken = self.clients.ends["broken"] + self.at_the_end.ends["broken"]
        strange = {e for e in (*self.clients.ends, *self.at_the_end.ends) if e.startswith("HTTP")}
        ends = self.clients.ends
        whole = ends["whole"] / max(ends.total() - ends["hung up"], 1)
        found = {
            f"memory grew from {early:.0f} to {late:.0f} MB": late > early * (1 + MAX_GROWTH),
            "tasks were left": self.after.tasks > self.before.tasks,
            "descriptors were left": self.after.descriptors > self.before.descriptors + 10,
            "streams were left": self.after.streams > 0,
            f"{broken} turns neither ended nor told why": broken > 0,
            f"strange answers: {strange}": bool(strange),
            f"only {whole:.0%} of the turns were answered": whole < MIN_WHOLE,
            f"it ended with code {self.exit_code}": self.exit_code != 0,
            # A record's in JSON, or what Python itself writes.
            "there is a traceback in its log": '"exception":' in self.log
            or "Traceback" in self.log
            or "never retrieved" in self.log,
        }
        return [fault for fault, is_so in found.items() if is_so]

    def _quarter(self, n: int) -> float:
        length = max(len(self.looks) // 4, 1)
        return mean(look.memory for look in self.looks[n * length : (n + 1) * length])

    def document(self) -> str:
        """The figures for a reader."""
        ends = "\n".join(
            f"| {end} | {self.clients.ends[end]} | {self.at_the_end.ends[end]} |"
            for end in sorted({*self.clients.ends, *self.at_the_end.ends, "broken"})
        )
        quarters = ", ".join(f"{self._quarter(n):.0f}" for n in range(4))
        faults = "; ".join(self.faults()) or "nothing"
        load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
        return f"""\
# Reliability

The last soak, as `make soak` wrote it. The service is a real process; both models are played
on loopback by the fault matrix (`tests/faults/matrix.py`): a quarter of their calls are answered,
the others meet a random fault of it, but for those that send megabytes or without end. The circuits
are off, so that every call meets its fault. So these are figures of the service, not of any model.

- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {self.minutes:g} minutes after a warm-up of
  {WARM_UP_S:g} s; {platform.machine()}, {os.cpu_count()} processors; load {load} at the end (over
  1, 5 and 15 minutes), the soak's own and what else the machine did.
- {CONCURRENCY} clients at once with one key, as many as the service admits here
  (`MAX_CONCURRENT_REQUESTS={CONCURRENCY}`), over `/chat`, `/api/chat` and `/v1`; one turn in seven
  is hung up on. {self.calls} calls of models.
- What must not be and was: {faults}.

| how a turn ended | in the soak | with SIGTERM in the middle |
|---|---|---|
{ends}

`whole` are answers to their last word, quoted passages among them; `told why` ended in an `error`
event, or with a status of a model's own refusal; `refused` are 503s before an answer began, when
all places were taken or at the end; `broken` did neither.

| | before | after, at rest |
|---|---|---|
| memory, MB | {self.before.memory:.0f} | {self.after.memory:.0f} |
| descriptors | {self.before.descriptors} | {self.after.descriptors} |
| tasks | {self.before.tasks} | {self.after.tasks} |
| calls of models open | {self.before.streams} | {self.after.streams} |

Memory by quarter of the soak, MB: {quarters}. After SIGTERM under load the process ended in
{self.stopped_in_s:.1f} s with code {self.exit_code}.
"""


async def soak(minutes: float, seed: int) -> Figures:
    """One soak, from the start of a service to its end."""
    bomb()
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((here / "log").open("wb"))
        async with RandomUpstream(seed) as upstream:
            port = free_port()
            env = environment(here / "data", upstream, PORT=str(port), **SETTINGS)
            command = (sys.executable, "-m", "scripts.soak_service", str(here / "tasks"))
            process = await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT, stderr=log)
            try:
                return await _watch(process, here, port, upstream, minutes, seed)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def _watch(
    process: asyncio.subprocess.Process,
    here: Path,
    port: int,
    upstream: RandomUpstream,
    minutes: float,
    seed: int,
) -> Figures:
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        async with asyncio.timeout(120):
            while True:
                try:
                    await until_ready(client)
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.1)
    watched = Watched(process.pid, here / "tasks", upstream)
    await _asking(Clients(url, KEY, CONCURRENCY, seed), WARM_UP_S)
    await asyncio.sleep(10)  # connections that are kept for a while
    before = await watched.look()
    clients = Clients(url, KEY, CONCURRENCY, seed + 1000)
    looks: list[Look] = []
    asking = asyncio.create_task(clients.run())
    for _ in range(int(minutes * 60 / LOOK_EVERY_S)):
        await asyncio.sleep(LOOK_EVERY_S)
        looks.append(await watched.look())
    clients.stopping = True
    await asking
    after = await watched.until_settled(before)
    last = Clients(url, KEY, CONCURRENCY, seed + 2000)
    asking = asyncio.create_task(last.run())
    async with asyncio.timeout(300):
        # All are in the middle of something then.
        while last.ends.total() < 3 * CONCURRENCY:  # noqa: ASYNC110 - a counter tells no one
            await asyncio.sleep(0.1)
    last.stopping = True
    process.send_signal(signal.SIGTERM)
    clock = asyncio.get_running_loop().time
    told = clock()
    code = await process.wait()
    stopped_in_s = clock() - told
    await asking
    log = (here / "log").read_text()
    calls = upstream.served.total()
    return Figures(minutes, looks, before, after, clients, last, code, stopped_in_s, log, calls)


async def _asking(clients: Clients, for_s: float) -> None:
    asking = asyncio.create_task(clients.run())
    await asyncio.sleep(for_s)
    clients.stopping = True
    await asking


def main() -> None:
    """Soak, print and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=20261123)
    given = parser.parse_args()
    figures = asyncio.run(soak(given.minutes, given.seed))
    DOCUMENT.write_text(figures.document())
    print(figures.document())
    if figures.faults():
        sys.exit(1)


if __name__ == "__main__":
    main()
