"""Print what the service costs, beside its peers: `make bench`, `make bench-quick`.

Everything runs on this machine over loopback, so that ratios within a run count and
absolute figures move with the machine.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from bench import corpus, first_time, ingest, streams
from bench.bars import CHAT, WITHOUT_HTTPX, bars
from bench.lanes import Lane, completion, search, side_by_side, turn, warm_up
from bench.processes import Server
from bench.targets import LITELLM, Targets, targets

COMPLETIONS = "/v1/chat/completions"


def machine() -> dict[str, Any]:
    """What it was measured on."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "processors": f"{os.cpu_count()} × {model}",
        "memory_gb": round(memory),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


async def measure(*, quick: bool) -> dict[str, Any]:
    """All figures. Ended by a signal, it ends what it started."""
    task = asyncio.current_task()
    assert task is not None, "run by uvloop"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    kept = await corpus.kept()
    before = machine()
    print(before, flush=True)
    async with targets() as started:
        folder = await asyncio.to_thread(shutil.copytree, kept, started.folder / "corpus")
        async with started.zantara(folder) as server:
            new = await first_time.measure(
                server,
                started.upstream,
                corpus.NewQuestions.read(folder),
                loads=(1, 16) if quick else (1, 16, 64),
                rounds=1 if quick else 2,
            )
            remembered = await _remembered(started, server, quick=quick)
        refused = await streams.refused(started, turns=100 if quick else 400)
        taken_in = await ingest.measure(started, passages=200 if quick else 600)
    return {
        "before": before,
        "after": machine(),
        "new_questions": new,
        "ingest": taken_in,
        **remembered,
        "refused": refused,
    }


async def _remembered(started: Targets, server: Server, *, quick: bool) -> dict[str, Any]:
    """What questions cost that were asked before, beside the floors and LiteLLM."""
    async with started.zantara() as alone:
        chat = Lane(CHAT, server, "/chat", turn)
        lanes = [
            Lane("direct", started.upstream, COMPLETIONS, completion),
            Lane("floor", started.floor, COMPLETIONS, completion),
            Lane("router", alone, COMPLETIONS, completion),
            chat,
        ]
        others = [
            Lane("search", server, "/search", search),
            Lane(WITHOUT_HTTPX, started.floor_without_httpx, COMPLETIONS, completion),
        ]
        if started.litellm:
            others.append(Lane("litellm", started.litellm, COMPLETIONS, completion))
        else:
            print(f"no {LITELLM}: `make bench-peers` installs it")
        await warm_up([*lanes, *others])
        loads = [(True, 1), (True, 16), (True, 64), (False, 16)]
        # Many short visits: the machine's speed changes from one to the next.
        rows = await side_by_side(
            [*lanes, *others],
            loads=loads[:2] if quick else loads,
            rounds=3 if quick else 4,
            seconds=1.0 if quick else 1.5,
        )
        unhurried = [] if quick else await streams.unhurried(started.upstream, lanes)
        opened = [
            await streams.many_open(started.upstream, lane, 100 if quick else 1000)
            for lane in lanes[1 : 3 if quick else 4]
        ]
    return {"rows": rows, "unhurried": unhurried, "open_streams": opened}


def main() -> None:
    """Measure, print, and write the figures where they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, fewer rows")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
    # A thousand streams through the floor are more than the usual 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    figures = uvloop.run(measure(quick=given.quick))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    for bar in bars(figures):
        held = {True: "held", False: "NOT HELD", None: ""}[bar.held]
        print(f"{bar.what:75} {bar.limit:>8} {bar.measured:9.2f}  {held}")


if __name__ == "__main__":
    main()
