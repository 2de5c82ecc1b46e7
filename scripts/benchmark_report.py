"""What a benchmark's calls come to: the guide's tables with intervals, as text, JSON and a plot."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

RESAMPLES = 2000
SIMULATED = "SIMULATED: a local stand-in's made-up times and answers. This is not a measurement."
NAMES = {"llama-scout": "Llama", "haiku": "Haiku"}


@dataclass(frozen=True, slots=True)
class Call:
    """One question to one model. Times are milliseconds, the cost US dollars or unknown."""

    question: str
    category: str
    language: str
    ai: str
    model: str
    outcome: str
    ttft_ms: float | None
    total_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    simulated: bool
    asked_model: str = ""
    """By its name in the settings; an answer may name a dated version."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% interval, from `n` calls."""

    value: float
    low: float
    high: float
    n: int


Statistic = Callable[[Any], Any]

_FIGURES: list[tuple[str, str, Callable[[float], str]]] = [
    ("TTFT", "ttft_ms", lambda v: f"{v:.0f} ms"),
    ("Total time", "total_ms", lambda v: f"{v:.0f} ms"),
    ("Input tokens", "input_tokens", lambda v: f"{v:.0f}"),
    ("Output tokens", "output_tokens", lambda v: f"{v:.0f}"),
    ("Cost a question", "cost_usd", lambda v: f"${v:.6f}"),
    ("Success Rate", "success", lambda v: f"{v:.0%}"),
]
"""Title, name in a `summary`, and how a value is shown."""


def bootstrap(values: Sequence[float], statistic: Statistic = np.median) -> Estimate | None:
    """A statistic with its percentile interval over 2,000 resamples; None of no values."""
    if not values:
        return None
    sample = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(0).choice(sample, (RESAMPLES, len(sample)))
    low, high = np.percentile(np.apply_along_axis(statistic, 1, drawn), [2.5, 97.5])
    return Estimate(float(statistic(sample)), float(low), float(high), len(sample))


def success_rate(calls: Sequence[Call]) -> Estimate | None:
    """The part that succeeded, with Wilson's interval."""
    n = len(calls)
    if not n:
        return None
    rate, z = sum(call.outcome == "success" for call in calls) / n, 1.96
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Estimate(rate, max(0.0, middle - half), min(1.0, middle + half), n)


def summary(calls: Sequence[Call]) -> dict[str, Estimate | None]:
    """The figures of one group of calls; times and tokens are those of successful ones."""
    good = [call for call in calls if call.outcome == "success"]
    costs = [call.cost_usd for call in calls if call.cost_usd is not None]
    return {
        "ttft_ms": bootstrap([call.ttft_ms for call in good if call.ttft_ms is not None]),
        "total_ms": bootstrap([call.total_ms for call in good]),
        "input_tokens": bootstrap([call.input_tokens for call in good], np.mean),
        "output_tokens": bootstrap([call.output_tokens for call in good], np.mean),
        "cost_usd": bootstrap(costs, np.mean),
        "success": success_rate(calls),
    }


def winner(calls: Sequence[Call]) -> str:
    """Who is faster to the first token on the same questions, if the interval tells."""
    times: dict[str, dict[str, float]] = {ai: {} for ai in NAMES}
    for call in calls:
        if call.outcome == "success" and call.ttft_ms is not None:
            times[call.ai][call.question] = call.ttft_ms
    llama, haiku = times["llama-scout"], times["haiku"]
    ratios = [llama[q] / haiku[q] for q in sorted(llama.keys() & haiku.keys())]
    ratio = bootstrap(ratios)
    if ratio is None:
        return "–"
    if ratio.high < 1:
        return f"🦙 Llama {1 - ratio.value:.0%} faster"
    if ratio.low > 1:
        return f"Haiku {1 - 1 / ratio.value:.0%} faster"
    return "no difference shown"


def text_report(calls: Sequence[Call]) -> str:
    """The guide's tables, in Markdown."""
    simulated = any(call.simulated for call in calls)
    mark = " (SIMULATED)" if simulated else ""
    blocks = [[SIMULATED]] if simulated else []
    blocks.append([f"## By model{mark}", "", *_by_model(calls)])
    for title, key in (("Query Type", "category"), ("Language", "language")):
        blocks.append([f"## By {key}{mark}", "", *_comparison(calls, title, key)])
    blocks.append([f"## By model and category{mark}", "", *_by_category(calls)])
    blocks.append(["Medians of times, means of tokens and cost, each with its 95% interval."])
    if simulated:
        blocks.append([SIMULATED])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _by_model(calls: Sequence[Call]) -> Iterator[str]:
    groups = {ai: [call for call in calls if call.ai == ai] for ai in NAMES}
    asked = {ai: group for ai, group in groups.items() if group}
    yield (
        "| Metric | " + " | ".join(f"{NAMES[ai]} ({g[0].model})" for ai, g in asked.items()) + " |"
    )
    yield "|---" * (len(asked) + 1) + "|"
    figures = {ai: summary(group) for ai, group in asked.items()}
    for title, name, shown in _FIGURES:
        cells = (_cell(figures[ai][name], shown) for ai in asked)
        yield f"| {title} | " + " | ".join(cells) + " |"


def _by_category(calls: Sequence[Call]) -> Iterator[str]:
    yield "| Model, query type | " + " | ".join(title for title, *_ in _FIGURES) + " |"
    yield "|---" * (len(_FIGURES) + 1) + "|"
    for ai, category in dict.fromkeys((call.ai, call.category) for call in calls):
        figures = summary([c for c in calls if (c.ai, c.category) == (ai, category)])
        cells = (_cell(figures[name], shown) for _, name, shown in _FIGURES)
        yield f"| {NAMES[ai]}, {category} | " + " | ".join(cells) + " |"


def _comparison(calls: Sequence[Call], title: str, key: str) -> Iterator[str]:
    yield f"| {title} | Llama TTFT | Haiku TTFT | Winner |"
    yield "|---|---|---|---|"
    for value in dict.fromkeys(getattr(call, key) for call in calls):
        group = [call for call in calls if getattr(call, key) == value]
        cells = (
            _cell(summary([c for c in group if c.ai == ai])["ttft_ms"], lambda v: f"{v:.0f} ms")
            for ai in NAMES
        )
        yield f"| {value} | " + " | ".join(cells) + f" | {winner(group)} |"


def _cell(figure: Estimate | None, shown: Callable[[float], str]) -> str:
    if figure is None:
        return "–"
    return f"{shown(figure.value)} [{shown(figure.low)}, {shown(figure.high)}]"


def json_report(calls: Sequence[Call]) -> dict[str, Any]:
    """The same figures by model, and by model and category and language."""
    simulated = any(call.simulated for call in calls)
    groups = {
        " ".join(key): [call for call in calls if key == _key(call, len(key))]
        for call in calls
        for key in ((call.ai,), (call.ai, call.category), (call.ai, call.category, call.language))
    }
    return {
        "simulated": simulated,
        **({"SIMULATED": SIMULATED} if simulated else {}),
        "calls": len(calls),
        "groups": {name: summary(group) for name, group in sorted(groups.items())},
    }


def _key(call: Call, length: int) -> tuple[str, ...]:
    return (call.ai, call.category, call.language)[:length]


def plot(calls: Sequence[Call], path: Path) -> None:
    """Times to the first token, by category and model, as a picture. Needs matplotlib."""
    from matplotlib.figure import Figure

    simulated = any(call.simulated for call in calls)
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    categories = list(dict.fromkeys(call.category for call in calls))
    for offset, (ai, name) in enumerate(NAMES.items()):
        groups = [
            [c.ttft_ms for c in calls if (c.ai, c.category) == (ai, each) and c.ttft_ms is not None]
            for each in categories
        ]
        places = [3 * n + offset for n in range(len(categories))]
        boxes = axes.boxplot(groups, positions=places, widths=0.7, patch_artist=True)
        for box in boxes["boxes"]:
            box.set(facecolor=("tab:orange", "tab:blue")[offset], label=name)
            name = "_nolegend_"
    axes.set_xticks([3 * n + 0.5 for n in range(len(categories))], categories)
    axes.set_ylabel("time to first token, ms")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.set_title(SIMULATED if simulated else "Time to first token")
    if simulated:
        figure.text(
            0.5, 0.5, "SIMULATED", fontsize=80, color="red", alpha=0.25,
            rotation=25, ha="center", va="center",
        )  # fmt: skip
    figure.savefig(path, dpi=120)
