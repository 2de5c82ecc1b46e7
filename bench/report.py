"""The figures as tables: `python -m bench.report` writes them into docs/performance.md."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from app.settings import ROOT
from bench.bars import bars

PAGE = ROOT / "docs" / "performance.md"
FIGURES = ROOT / "docs" / "performance.json"
_NOT_MEASURED = "*Not measured yet: `make bench` writes this table.*"


def with_tables(page: str, figures: dict[str, Any] | None) -> str:
    """Return the page with each `<!-- bench: NAME -->` block made from the figures, if any."""

    def block(match: re.Match[str]) -> str:
        name = match[1]
        table = TABLES[name](figures) if figures else _NOT_MEASURED
        return f"<!-- bench: {name} -->\n{table}\n<!-- /bench -->"

    return re.sub(r"<!-- bench: (\w+) -->\n.*?<!-- /bench -->", block, page, flags=re.DOTALL)


def _markdown(head: str, rows: Iterable[Iterable[Any]]) -> str:
    lines = [head, re.sub(r"[^|]+", "---", head)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def _machine(figures: dict[str, Any]) -> str:
    before, after = figures["before"], figures["after"]
    loads = " and ".join(str(each["load_average"][0]) for each in (before, after))
    return (
        f"{before['processors']}, {before['memory_gb']} GB, Python {before['python']}; begun "
        f"{before['at']}, ended {after['at']}; load average {loads}."
    )


def _bars(figures: dict[str, Any]) -> str:
    says = {True: "held", False: "**not held**", None: ""}
    return _markdown(
        "| what | bar | measured | |",
        ((bar.what, bar.limit, f"{bar.measured:.2f}", says[bar.held]) for bar in bars(figures)),
    )


def _new(figures: dict[str, Any]) -> str:
    return _markdown(
        "| new questions | at once | CPU ms a request | requests/s | first piece ms, p50 / p99 | "
        "degraded | query rewrites | peak MB | errors |",
        (
            (
                f"`{f['path']}`, {f['kind']}",
                f["at_once"],
                f["cpu_ms_per_request"],
                f["requests_per_s"],
                f"{f['first_p50_ms']} / {f['first_p99_ms']}",
                f"{f['degraded']} of {f['requests']}",
                f["rewrites"],
                f["peak_mb"],
                f["errors"],
            )
            for f in figures["new_questions"]
        ),
    )


def _ingest(figures: dict[str, Any]) -> str:
    f = figures["ingest"]
    rows = [
        ("passages a second", f["passages_per_s"]),
        ("passages a second of one processor", f["passages_per_cpu_s"]),
        ("memory of all the service's processes, peak, MB", f["peak_mb"]),
        ("event loop's longest pause, ms", f["longest_pause_ms"]),
        ("… at rest", f["pause_at_rest_ms"]),
    ]
    for name, found in (("words", "its words"), ("vectors", "its vectors")):
        both = f"{f[f'small_by_{name}_s']} / {f[f'small_by_{name}_most_s']}"
        rows.append((f"a small upload is found by {found} after, s, median / most", both))
    return _markdown(f"| {f['documents']} documents, {f['passages']} passages | |", rows)


def _remembered(figures: dict[str, Any]) -> str:
    return _loads("remembered questions", figures["rows"])


def _unhurried(figures: dict[str, Any]) -> str:
    return _loads("remembered questions, a piece every 50 ms", figures["unhurried"])


def _loads(name: str, rows: Iterable[dict[str, Any]]) -> str:
    return _markdown(
        f"| {name} | at once | CPU ms a request | requests/s | first piece + ms, p50 / p99 | "
        "total + ms, p50 / p99 | peak MB | errors |",
        (
            (
                f["lane"] + ("" if f["streamed"] else ", not streamed"),
                f["at_once"],
                f["cpu_ms_per_request"],
                f"{f['requests_per_s']:.0f}",
                f"{f['first_added_p50_ms']:.1f} / {f['first_added_p99_ms']:.1f}",
                f"{f['total_added_p50_ms']:.1f} / {f['total_added_p99_ms']:.1f}",
                f"{f['peak_mb']:.0f}",
                f["errors"],
            )
            for f in rows
        ),
    )


def _streams(figures: dict[str, Any]) -> str:
    return _markdown(
        "| remembered questions | open streams | failed | largest gap, ms | its p99, ms | first "
        "piece ms, p50 / p99 | slowest `/health`, ms | kB a stream | µs of CPU a piece |",
        (
            (
                f["lane"],
                f["streams"],
                f["failed"],
                f["largest_gap_ms"],
                f["gap_p99_ms"],
                f"{f['first_p50_ms']:.0f} / {f['first_p99_ms']:.0f}",
                f["health_slowest_ms"],
                f["kb_per_stream"],
                f["cpu_us_per_piece"],
            )
            for f in figures["open_streams"]
        ),
    )


def _refused(figures: dict[str, Any]) -> str:
    return _markdown(
        "| Haiku's first piece | p50, ms |",
        ((name, found["first_p50_ms"]) for name, found in figures["refused"].items()),
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "machine": _machine,
    "bars": _bars,
    "new": _new,
    "ingest": _ingest,
    "remembered": _remembered,
    "unhurried": _unhurried,
    "streams": _streams,
    "refused": _refused,
}
"""By the name of a block in the page, what makes it."""


def last_figures() -> dict[str, Any] | None:
    """Return the figures of the last run that was kept, None where there is none."""
    return json.loads(FIGURES.read_text()) if FIGURES.exists() else None


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(), last_figures()))
