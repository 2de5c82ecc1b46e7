"""Targets side by side under the same load, in turns, so that all meet the same machine."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from app.settings import ROOT
from bench.load import Answer, Load, Request, load
from bench.processes import Server

PIECES = 32
_WARM_UP = 16


@dataclass(frozen=True)
class Lane:
    """One way to ask: a server, and the request for a question."""

    name: str
    server: Server
    path: str
    body: Callable[[str], dict[str, Any]]
    questions: Sequence[str] = ()

    def request(self, question: str, *, stream: bool = True) -> Request:
        """One question; a search has no answer to be streamed."""
        form = {} if self.path == "/search" else {"max_tokens": PIECES, "stream": stream}
        return Request(self.server.url + self.path, {**form, **self.body(question)})

    def requests(self, *, stream: bool) -> Callable[[], Iterator[Request]]:
        """For `load`: each client begins at another one of the questions."""
        starts = itertools.count(0, 7)
        kept = [self.request(each, stream=stream) for each in self.questions or QUESTIONS]
        return lambda: itertools.islice(itertools.cycle(kept), next(starts) % len(kept), None)


QUESTIONS = [
    json.loads(line)["question"]
    for line in (ROOT / "scripts" / "benchmark_questions.jsonl").read_text().splitlines()
]


def completion(question: str) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": "llama-scout", "messages": [{"role": "user", "content": question}]}


def turn(question: str) -> dict[str, Any]:
    """The body of a `/chat`."""
    return {"message": question}


def search(question: str) -> dict[str, Any]:
    """The body of a `/search`."""
    return {"query": question}


@dataclass
class Visit:
    """What came of one load on one lane."""

    load: Load
    cpu_s: float


@dataclass
class Row:
    """A lane under one load: its visits in all rounds."""

    lane: str
    streamed: bool
    at_once: int
    peak_mb: float = 0.0
    visits: list[Visit] = field(default_factory=list)

    @property
    def answers(self) -> list[Answer]:
        """Of all visits, those that came whole."""
        return [answer for visit in self.visits for answer in visit.load.good]

    @property
    def timed(self) -> list[Answer]:
        """Without each client's first: what comes of asking all at once is told apart."""
        return [answer for answer in self.answers if not answer.is_first]

    @property
    def cpu_ms(self) -> float:
        """Processor time of the process tree per request; the median of the visits."""
        return median(v.cpu_s * 1000 / max(1, len(v.load.answers)) for v in self.visits)

    @property
    def per_s(self) -> float:
        """Whole answers a second; the median of the visits."""
        return median(len(visit.load.good) / visit.load.wall_s for visit in self.visits)

    @property
    def errors(self) -> list[str]:
        """What the answers said that failed or were not whole."""
        return [error for visit in self.visits for error in visit.load.errors]

    @property
    def generator(self) -> float:
        """The part of one processor that the load generator took, at the most."""
        return max(visit.load.cpu_s / visit.load.wall_s for visit in self.visits)

    def first_ms(self, percent: int) -> float:
        """Time to the first piece: 50 or 99 percent were faster."""
        return percentile([answer.first_ms for answer in self.timed], percent)

    def total_ms(self, percent: int) -> float:
        """Time to the end of the answer."""
        return percentile([answer.total_ms for answer in self.timed], percent)

    def figures(self, direct: "Row") -> dict[str, Any]:
        """For the table and the file; `added` is over the direct wire's, the times whole beside it.

        The direct wire answers ten times as often as a target, and waits for its own load: at
        64 and more it takes off more than it costs a target's answer.
        """
        return {
            "lane": self.lane,
            "streamed": self.streamed,
            "at_once": self.at_once,
            "requests": len(self.answers),
            "errors": len(self.errors),
            "error": next(iter(self.errors), None),
            "degraded": sum(answer.degraded for answer in self.answers),
            "cpu_ms_per_request": round(self.cpu_ms, 2),
            "requests_per_s": round(self.per_s, 1),
            **{
                f"{name}_p{percent}_ms": round(getattr(self, f"{name}_ms")(percent), 2)
                for name in ("first", "total")
                for percent in (50, 99)
            },
            **{
                f"{name}_added_p{percent}_ms": round(
                    getattr(self, f"{name}_ms")(percent) - getattr(direct, f"{name}_ms")(percent), 2
                )
                for name in ("first", "total")
                for percent in (50, 99)
            },
            "same_moment_p99_ms": round(
                percentile([a.first_ms for a in self.answers if a.is_first], 99), 1
            ),
            "peak_mb": round(self.peak_mb, 1),
            "generator_share": round(self.generator, 2),
        }


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent are below; not a number where there are none."""
    if not values:
        return float("nan")
    return quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]


async def warm_up(lanes: Sequence[Lane]) -> None:
    """Wait until they are idle, then ask each question twice, so that what is remembered is.

    Raises `RuntimeError` for an answer that fails: a refusal costs less than what is measured.
    """
    for lane in lanes:
        await lane.server.settled()
        least = 2 * len(QUESTIONS) // _WARM_UP + 1
        came = await load(lane.requests(stream=True), _WARM_UP, least=least)
        if came.errors:
            raise RuntimeError(f"{lane.name} does not answer: {came.errors[0]}")


async def side_by_side(
    lanes: Sequence[Lane],
    *,
    loads: Sequence[tuple[bool, int]],
    rounds: int,
    seconds: float,
    opened_a_second: float = float("inf"),
) -> list[dict[str, Any]]:
    """Load the lanes A B C A B C; the first is the direct wire. The figures of each row.

    `loads` are: whether answers are streamed, and how many are asked for at once. Each round
    has all loads, so that a slow minute of the machine's is in every row.
    """
    rows = {load_of: [Row(lane.name, *load_of) for lane in lanes] for load_of in loads}
    for n in range(rounds):
        print(f"round {n + 1} of {rounds}", flush=True)
        for (stream, clients), of_load in rows.items():
            for lane, row in zip(lanes, of_load, strict=True):
                lane.server.forget_peak()
                before = lane.server.cpu_s()
                came = await load(
                    lane.requests(stream=stream),
                    clients,
                    seconds=seconds,
                    least=2,
                    opened_a_second=opened_a_second,
                )
                row.visits.append(Visit(came, lane.server.cpu_s() - before))
                row.peak_mb = max(row.peak_mb, lane.server.peak_mb())
    figures = [row.figures(of_load[0]) for of_load in rows.values() for row in of_load]
    print(HEAD, *map(line, figures), sep="\n", flush=True)
    return figures


HEAD = (
    f"{'':22} {'at once':>7} {'CPU ms':>7} {'req/s':>7} {'first +ms p50/p99':>19} "
    f"{'total +ms p50/p99':>19} {'MB':>6} {'errors':>6} {'generator':>9}"
)


def line(f: dict[str, Any]) -> str:
    """One row of the table on the terminal."""
    name = f"{f['lane']}{'' if f['streamed'] else ', whole'}"
    first = f"{f['first_added_p50_ms']:.1f} / {f['first_added_p99_ms']:.1f}"
    total = f"{f['total_added_p50_ms']:.1f} / {f['total_added_p99_ms']:.1f}"
    return (
        f"{name:22} {f['at_once']:7} {f['cpu_ms_per_request']:7.2f} {f['requests_per_s']:7.0f} "
        f"{first:>19} {total:>19} {f['peak_mb']:6.0f} {f['errors']:6} {f['generator_share']:9.0%}"
    )
