"""What a question costs that nobody asked before, by what the service does for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import httpx

from bench.corpus import NewQuestions
from bench.lanes import Lane, Visit, percentile, search, turn
from bench.load import Answer, load
from bench.processes import Server
from bench.questions import ROWS, Kind

_QUESTIONS = {1: 48, 16: 96, 64: 96}
"""By how many are asked at once: how many questions a round has for each row."""
_WARM_UP = 8
"""Of the questions that are asked again elsewhere."""


@dataclass
class _Row:
    """One kind of question under one load: its visits in all rounds."""

    lane: Lane
    kind: Kind
    at_once: int
    questions: Sequence[Sequence[str]]
    """Of each round."""
    rewrites: int = 0
    peak_mb: float = 0.0
    visits: list[Visit] = field(default_factory=list)

    async def visit(self, number: int, upstream: Server) -> None:
        """Ask the questions of a round, until the service has nothing left to do."""
        asked = iter([self.lane.request(question) for question in self.questions[number]])
        server = self.lane.server
        before, rewrites = server.cpu_s(), await _rewrites(upstream)
        came = await load(lambda: asked, self.at_once, seconds=float("inf"))
        # A search that was answered without vectors may still be at work.
        await server.settled()
        self.visits.append(Visit(came, server.cpu_s() - before))
        self.rewrites += await _rewrites(upstream) - rewrites
        self.peak_mb = max(self.peak_mb, server.peak_mb())

    def figures(self) -> dict[str, Any]:
        """For the table and the file. No answer is left out: each client's first is new, too."""
        answers: list[Answer] = [answer for visit in self.visits for answer in visit.load.good]
        errors = [error for visit in self.visits for error in visit.load.errors]
        first = [answer.first_ms for answer in answers]
        return {
            "path": self.lane.path,
            "kind": self.kind,
            "at_once": self.at_once,
            "requests": len(answers),
            "errors": len(errors),
            "error": next(iter(errors), None),
            "degraded": sum(answer.degraded for answer in answers),
            "rewrites": self.rewrites,
            "cpu_ms_per_request": round(
                median(v.cpu_s * 1000 / max(1, len(v.load.answers)) for v in self.visits), 1
            ),
            "requests_per_s": round(
                median(len(v.load.good) / v.load.wall_s for v in self.visits), 1
            ),
            "first_p50_ms": round(percentile(first, 50), 1),
            "first_p99_ms": round(percentile(first, 99), 1),
            "peak_mb": round(self.peak_mb),
        }


async def measure(
    server: Server, upstream: Server, questions: NewQuestions, *, loads: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    """The figures of each row, of a service that was started for it.

    The rows take turns in each round. The real questions are those that are asked one at a time.
    """
    bodies = {"/search": search, "/chat": turn}
    rows = [
        _Row(
            Lane(f"{path}, {kind}", server, path, bodies[path]),
            kind,
            at_once,
            [questions.take(path, kind, _QUESTIONS[at_once]) for _ in range(rounds)],
        )
        for at_once in loads
        for path, kind in ROWS
    ]
    # What is loaded for the first question of all is no other question's.
    for path, body in bodies.items():
        await load(Lane(path, server, path, body).requests(stream=True), 1, least=_WARM_UP)
    await server.settled()
    server.forget_peak()
    for number in range(rounds):
        print(f"new questions, round {number + 1} of {rounds}", flush=True)
        for row in rows:
            await row.visit(number, upstream)
    figures = [row.figures() for row in rows]
    print(HEAD, *map(line, figures), sep="\n", flush=True)
    return figures


async def _rewrites(upstream: Server) -> int:
    async with httpx.AsyncClient() as http:
        return int((await http.get(f"{upstream.url}/rewrites")).text)


HEAD = (
    f"{'new questions':30} {'at once':>7} {'CPU ms':>7} {'req/s':>7} {'first ms p50/p99':>19} "
    f"{'degraded':>8} {'rewrites':>8} {'MB':>6} {'errors':>6}"
)


def line(f: dict[str, Any]) -> str:
    """One row of the table on the terminal."""
    first = f"{f['first_p50_ms']:.1f} / {f['first_p99_ms']:.1f}"
    return (
        f"{f['path'] + ', ' + f['kind']:30} {f['at_once']:7} {f['cpu_ms_per_request']:7.1f} "
        f"{f['requests_per_s']:7.1f} {first:>19} {f['degraded']:8} {f['rewrites']:8} "
        f"{f['peak_mb']:6} {f['errors']:6}"
    )
