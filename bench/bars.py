"""The bars: what must hold, and whether it did in a run."""

from collections.abc import Iterator
from operator import ge, le
from typing import Any, NamedTuple

from bench.questions import Kind

WITHOUT_HTTPX = "floor, no httpx"
"""What the lane is called whose client is the service's own."""
CHAT = "chat"


class Bar(NamedTuple):
    """One figure; `held` is None where there is no limit."""

    what: str
    limit: str
    measured: float
    held: bool | None


def bars(figures: dict[str, Any]) -> list[Bar]:
    """Return every bar whose rows were measured: those of new questions first."""
    return [
        *_of_new_questions(figures["new_questions"]),
        *_of_ingest(figures["ingest"]),
        *_of_litellm(figures),
        *_of_the_router(figures),
        *_of_streams(figures),
    ]


def _bar(what: str, sign: str, limit: float, measured: float) -> Bar:
    return Bar(what, f"{sign} {limit:g}", measured, (le if sign == "≤" else ge)(measured, limit))


def _of_new_questions(rows: list[dict[str, Any]]) -> Iterator[Bar]:
    def worst(path: str, at_once: int, name: str, kinds: tuple[Kind, ...]) -> float:
        found: list[float] = [
            row[name]
            for row in rows
            if (row["path"], row["at_once"]) == (path, at_once) and row["kind"] in kinds
        ]
        return min(found) if name == "requests_per_s" else max(found)

    both = Kind.PLAIN, Kind.GLOSSARY
    yield _bar(
        "new questions, /search at 1: CPU, ms", "≤", 35,
        worst("/search", 1, "cpu_ms_per_request", both),
    )  # fmt: skip
    yield _bar(
        "… p50, ms", "≤", 30, worst("/search", 1, "first_p50_ms", both)
    )  # fmt: skip
    yield _bar(
        "new questions, /chat at 1: first piece p50, ms", "≤", 45,
        worst("/chat", 1, "first_p50_ms", both),
    )  # fmt: skip
    rewritten = worst("/chat", 1, "first_p50_ms", (Kind.REWRITE,))
    yield Bar("… with one query rewrite", "none", rewritten, None)
    for path in ("/search", "/chat"):
        yield _bar(
            f"new questions, {path} at 16: requests a second", "≥", 30,
            worst(path, 16, "requests_per_s", both),
        )  # fmt: skip
    degraded = sum(row["degraded"] for row in rows)
    yield _bar("new questions: degraded, of all", "≤", 0, degraded)
    yield _bar("new questions: failed, of all", "≤", 0, sum(row["errors"] for row in rows))


def _of_ingest(found: dict[str, Any]) -> Iterator[Bar]:
    yield _bar("ingest: passages a second", "≥", 15, found["passages_per_s"])
    yield _bar("ingest: memory of the whole service, MB", "≤", 400, found["peak_mb"])
    yield _bar(
        "a small upload next to a large one: found by its words after, s", "≤", 1,
        found["small_by_words_most_s"],
    )  # fmt: skip


def _of_litellm(figures: dict[str, Any]) -> Iterator[Bar]:
    if ("litellm", 16) not in _streamed(figures):
        return
    peer = _cpu(figures, "litellm")
    for row in figures["new_questions"]:
        if (row["path"], row["at_once"]) == ("/chat", 16):
            yield _bar(
                f"LiteLLM's CPU, of a whole /chat's of a new question, {row['kind']}", "≥", 1,
                peer / row["cpu_ms_per_request"],
            )  # fmt: skip
    yield _bar("… of a remembered one", "≥", 4, peer / _cpu(figures, CHAT))
    yield _bar("… of the router's", "≥", 8, peer / _cpu(figures, "router"))


def _of_the_router(figures: dict[str, Any]) -> Iterator[Bar]:
    router, rows = _cpu(figures, "router"), _streamed(figures)
    yield _bar(
        "router at 16: CPU, of the floor's on the same transport, aiohttp", "≤", 1.5,
        router / _cpu(figures, WITHOUT_HTTPX),
    )  # fmt: skip
    yield _bar(
        "… of the floor's with httpx over aiohttp", "≤", 1.5, router / _cpu(figures, "floor")
    )
    yield _bar(
        "first piece added by the router, at 1, ms", "≤", 2,
        rows["router", 1]["first_added_p50_ms"],
    )  # fmt: skip
    if ("router", 64) in rows:
        r, floor = (rows[lane, 64]["first_added_p99_ms"] for lane in ("router", "floor"))
        yield _bar(f"… p99 at 64 (floor {floor:.0f}), ms", "≤", 60, r)
        slow = {row["lane"]: row["first_added_p99_ms"] for row in figures["unhurried"]}
        yield _bar(
            f"… at 64, a piece every 50 ms (floor {slow['floor']:.0f}), ms", "≤", 60,
            slow["router"],
        )  # fmt: skip
    refused = figures["refused"]
    yield _bar(
        "Llama refused: added to Haiku's first piece, ms", "≤", 10,
        refused["after a refusal"]["first_p50_ms"] - refused["direct"]["first_p50_ms"],
    )  # fmt: skip


def _of_streams(figures: dict[str, Any]) -> Iterator[Bar]:
    opened = next(each for each in figures["open_streams"] if each["lane"] == "router")
    yield _bar(f"{opened['streams']} open streams: failed", "≤", 0, opened["failed"])
    yield _bar("… largest gap, ms", "≤", 1000, opened["largest_gap_ms"])
    loads = [*figures["rows"], *figures["unhurried"], *figures["refused"].values()]
    failed = sum(load["errors"] for load in loads)
    failed += sum(load["failed"] + load["health_failed"] for load in figures["open_streams"])
    yield _bar("remembered questions: failed, of all", "≤", 0, failed)
    degraded = sum(row["degraded"] for row in figures["rows"])
    yield _bar("remembered questions: degraded, of all", "≤", 0, degraded)


def _streamed(figures: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["lane"], row["at_once"]): row for row in figures["rows"] if row["streamed"]}


def _cpu(figures: dict[str, Any], lane: str) -> float:
    value: float = _streamed(figures)[lane, 16]["cpu_ms_per_request"]
    return value
