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
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from bench import knowledge, streams
from bench.lanes import Lane, completion, side_by_side, turn, warm_up
from bench.report import WITHOUT_HTTPX, bars
from bench.targets import LITELLM, targets

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


async def measure(*, quick: bool, chunks: list[int]) -> dict[str, Any]:
    """All figures. Ended by a signal, it ends what it started."""
    task = asyncio.current_task()
    assert task is not None, "run by uvloop"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    kept = {size: await knowledge.kept(size) for size in chunks}
    before = machine()
    print(before, flush=True)
    async with targets() as started, AsyncExitStack() as stack:
        alone = await stack.enter_async_context(started.zantara())
        lanes = [
            Lane("direct", started.upstream, COMPLETIONS, completion),
            Lane("floor", started.floor, COMPLETIONS, completion),
            Lane("router", alone, COMPLETIONS, completion),
        ]
        for size, folder in sorted(kept.items()):
            server = await stack.enter_async_context(started.zantara(folder))
            lanes.append(Lane(f"chat, {size} chunks", server, "/chat", turn))
        lanes.append(Lane(WITHOUT_HTTPX, started.floor_without_httpx, COMPLETIONS, completion))
        if started.litellm:
            lanes.append(Lane("litellm", started.litellm, COMPLETIONS, completion))
        else:
            print(f"no {LITELLM}: `make bench-peers` installs it")
        await warm_up(lanes)
        rows = await side_by_side(
            lanes,
            at_once=(1, 16) if quick else (1, 16, 64, 256),
            # Many short visits: the machine's speed changes from one to the next.
            rounds=3 if quick else 5,
            seconds=1.0 if quick else 1.5,
            streamed=(True,) if quick else (True, False),
        )
        unhurried = [] if quick else await streams.unhurried(started.upstream, lanes)
        refused = await streams.refused(started, turns=100 if quick else 400)
        opened = [
            await streams.many_open(started.upstream, lane, 100 if quick else 1000)
            for lane in lanes[1 : 3 if quick or not kept else 4]
        ]
    return {
        "before": before,
        "after": machine(),
        "rows": rows,
        "unhurried": unhurried,
        "refused": refused,
        "open_streams": opened,
    }


def main() -> None:
    """Measure, print, and write the figures where they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, fewer rows")
    parser.add_argument("--chunks", type=int, nargs="*", help="sizes of knowledge bases")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    sizes = given.chunks if given.chunks is not None else [10_000]
    if given.chunks is None and not given.quick:
        sizes.append(100_000)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
    # A thousand streams through the floor are more than the usual 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    figures = uvloop.run(measure(quick=given.quick, chunks=sizes))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    if not given.quick:
        print(bars(figures))


if __name__ == "__main__":
    main()
