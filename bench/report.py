"""The figures as Markdown and as a picture: `python -m bench.report FIGURES CURVES PICTURE`."""

import json
import sys
from pathlib import Path
from typing import Any

WITHOUT_HTTPX = "floor, no httpx"
"""What the lane is called whose client is the service's own."""


def table(rows: list[dict[str, Any]]) -> str:
    """Every row of the table, in Markdown."""
    lines = [
        "| | at once | CPU ms a request | requests/s | first token + ms, p50 / p99 | "
        "total + ms, p50 / p99 | peak MB | errors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in rows:
        name = f["lane"] + ("" if f["streamed"] else ", whole")
        first = f"{f['first_added_p50_ms']:.1f} / {f['first_added_p99_ms']:.1f}"
        total = f"{f['total_added_p50_ms']:.1f} / {f['total_added_p99_ms']:.1f}"
        lines.append(
            f"| {name} | {f['at_once']} | {f['cpu_ms_per_request']:.2f} | "
            f"{f['requests_per_s']:.0f} | {first} | {total} | {f['peak_mb']:.0f} | {f['errors']} |"
        )
    return "\n".join(lines)


def bars(figures: dict[str, Any]) -> str:
    """The bars and what was reached, in Markdown."""
    rows = {(f["lane"], f["at_once"]): f for f in figures["rows"] if f["streamed"]}

    def cpu(lane: str) -> float:
        value: float = rows[lane, 16]["cpu_ms_per_request"]
        return value

    refused = figures["refused"]
    added = refused["after a refusal"]["first_p50_ms"] - refused["direct"]["first_p50_ms"]
    opened = next(each for each in figures["open_streams"] if each["lane"] == "router")
    reached: list[tuple[str, str, float, bool | None]] = [
        ("router, 16 at once: CPU, of the floor's on the same transport, aiohttp", "≤ 1.5",
         r := cpu("router") / cpu(WITHOUT_HTTPX), r <= 1.5),
        ("… of the floor's with httpx over aiohttp", "≤ 1.5",
         r := cpu("router") / cpu("floor"), r <= 1.5),
        ("first token added by the router, at 1, ms", "≤ 2",
         r := rows["router", 1]["first_added_p50_ms"], r <= 2),
        ("answers that failed, of all loads", "0", failed := _failed(figures), failed == 0),
        ("1,000 open streams: failed", "0", opened["failed"], opened["failed"] == 0),
        ("1,000 open streams: largest gap, ms", "≤ 1000", r := opened["largest_gap_ms"], r <= 1000),
        ("Llama refused: added to Haiku's first token, ms", "≤ 10", added, added <= 10),
    ]  # fmt: skip
    if ("router", 64) in rows:
        slow = {f["lane"]: f["first_added_p99_ms"] for f in figures["unhurried"]}
        r, floor = (rows[lane, 64]["first_added_p99_ms"] for lane in ("router", "floor"))
        moment, of_floor = (rows[lane, 64]["same_moment_p99_ms"] for lane in ("router", "floor"))
        reached += [
            (f"first token, p99 at 64, pieces at once (floor {floor:.0f}), ms", "≤ 60", r, r <= 60),
            (f"… a piece every 50 ms (floor {slow['floor']:.1f}), ms", "≤ 60",
             slow["router"], slow["router"] <= 60),
            (f"… the first of each, asked in the same moment (floor {of_floor:.0f}), ms", "none",
             moment, None),
        ]  # fmt: skip
    if ("litellm", 16) in rows:
        peer = cpu("litellm")
        reached.append(("LiteLLM's CPU, of the router's", "≥ 8", r := peer / cpu("router"), r >= 8))
        chat = "chat, 10000 chunks"
        if (chat, 16) in rows:
            r = peer / cpu(chat)
            reached.append(("LiteLLM's CPU, of a whole /chat's", "≥ 4", r, r >= 4))
    lines = ["| what | bar | reached | |", "|---|---|---|---|"]
    says = {True: "holds", False: "does not hold", None: ""}
    lines += [
        f"| {what} | {bar} | {value:.2f} | {says[held]} |" for what, bar, value, held in reached
    ]
    return "\n".join(lines)


def _failed(figures: dict[str, Any]) -> int:
    loads = [*figures["rows"], *figures["unhurried"], *figures["refused"].values()]
    counts: list[int] = [load["errors"] for load in loads]
    counts += [load["failed"] + load["health_failed"] for load in figures["open_streams"]]
    return sum(counts)


def plot(figures: dict[str, Any], curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Processor time by load, and by what a turn grows with. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7), layout="constrained")
    panels = figure.subplots(2, 3).flatten()
    lanes = dict.fromkeys(f["lane"] for f in figures["rows"])
    for panel, value, label in (
        (panels[0], "cpu_ms_per_request", "CPU, ms a request, streamed"),
        (panels[1], "first_added_p99_ms", "first token added, p99, ms, streamed"),
    ):
        for lane in lanes:
            of_lane = [f for f in figures["rows"] if f["lane"] == lane and f["streamed"]]
            points = [(f["at_once"], max(f[value], 0.01)) for f in of_lane]
            panel.plot(*zip(*points, strict=True), marker="o", label=lane)
        panel.set(xscale="log", yscale="log", xlabel="at once", ylabel=label)
    panels[1].set_ylim(bottom=1)
    panels[1].legend(fontsize="small", loc="upper left")
    for panel, (name, points_of) in zip(panels[2:], curves.items(), strict=True):
        sizes = [int(size) for size in points_of]
        panel.plot(sizes, [p["cpu_ms"] for p in points_of.values()], marker="o", label="CPU, ms")
        panel.plot(sizes, [p["total_p50_ms"] for p in points_of.values()], marker="s", label="p50")
        panel.set(xlabel=name, ylabel="ms a /chat, 4 at once", ylim=(0, None))
        panel.set_xscale("log" if max(sizes) > 1000 else "linear")
        panel.legend(fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    figures, curves = (json.loads(Path(name).read_text()) for name in sys.argv[1:3])
    print(bars(figures), table(figures["rows"]), sep="\n\n")
    plot(figures, curves, Path(sys.argv[3]))
