"""What a remembered question costs as a turn grows: `python -m bench.curves JSON PICTURE`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from bench import knowledge
from bench.lanes import QUESTIONS, Lane, percentile, turn
from bench.load import load
from bench.processes import Server
from bench.targets import Targets, targets

CLIENTS = 4
SECONDS = 1.5
ROUNDS = 2
TURN = "How long does it take to register a PT PMA, and which licences come after it? " * 3
ANSWER = "The deed comes first, then the number of the ministry, then the licence by risk. " * 3


def with_history(turns: int) -> Callable[[str], dict[str, Any]]:
    """A question with so many turns, itself among them."""
    said = [{"role": "user", "content": TURN}, {"role": "assistant", "content": ANSWER}]
    return lambda question: {
        "messages": [*said * (turns - 1), {"role": "user", "content": question}]
    }


BODIES: dict[str, dict[int, Callable[[str], dict[str, Any]]]] = {
    # The API takes 200 messages.
    "turns of history": {n: with_history(n) for n in (1, 10, 25, 50, 100)},
    "passages": {n: lambda q, n=n: {**turn(q), "top_k": n} for n in (1, 5, 12, 25, 50)},  # type: ignore[misc]
    "tokens of the answer": {
        n: lambda q, n=n: {**turn(q), "max_tokens": n}  # type: ignore[misc]
        for n in (10, 100, 1000, 4000)
    },
}


async def point(server: Server, body: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Processor time and total time of a request, and the process's peak."""
    # Long questions, which are not taken to lean on what was said before.
    questions = Lane("", server, "/chat", body, [q for q in QUESTIONS if len(q.split()) > 12][:8])
    await load(questions.requests(stream=True), CLIENTS, least=4)
    server.forget_peak()
    before = server.cpu_s()
    came = [
        await load(questions.requests(stream=True), CLIENTS, seconds=SECONDS) for _ in range(ROUNDS)
    ]
    answers = [answer for each in came for answer in each.answers]
    return {
        "cpu_ms": round((server.cpu_s() - before) * 1000 / len(answers), 2),
        "total_p50_ms": round(percentile([a.total_ms for a in answers], 50), 1),
        "peak_mb": round(server.peak_mb()),
        "errors": [answer.error for answer in answers if answer.error][:3],
    }


async def measure(started: Targets) -> dict[str, dict[int, Any]]:
    """Every curve: by what grows, its points."""
    curves: dict[str, dict[int, Any]] = {}
    async with started.zantara(await knowledge.kept(10_000)) as server:
        await server.settled()
        for name, bodies in BODIES.items():
            curves[name] = {}
            for size, body in bodies.items():
                curves[name][size] = await point(server, body)
                print(name, size, curves[name][size], flush=True)
    name = "passages in the index"
    curves[name] = {}
    for size in (1_000, 10_000, 100_000, 500_000):
        async with started.zantara(await knowledge.kept(size)) as server:
            await server.settled()
            curves[name][size] = await point(server, turn)
            print(name, size, curves[name][size], flush=True)
    return curves


def draw(curves: dict[str, dict[int, Any]], picture: Path) -> None:
    """Processor time and total time by what a turn grows with. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    panels = figure.subplots(1, len(curves))
    for panel, (name, points) in zip(panels, curves.items(), strict=True):
        sizes = [int(size) for size in points]
        panel.plot(sizes, [p["cpu_ms"] for p in points.values()], marker="o", label="CPU")
        panel.plot(sizes, [p["total_p50_ms"] for p in points.values()], marker="s", label="p50")
        panel.set(xlabel=name, ylabel="ms a /chat, 4 at once", ylim=(0, None))
        panel.set_xscale("log" if max(sizes) > 1000 else "linear")
        panel.legend(fontsize="small")
    figure.savefig(picture, dpi=110)


async def main(file: Path, picture: Path) -> None:
    """Measure, write the points, draw them."""
    async with targets() as started:
        curves = await measure(started)
    file.write_text(json.dumps(curves, indent=1) + "\n")  # noqa: ASYNC240 - nothing waits
    draw(curves, picture)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
