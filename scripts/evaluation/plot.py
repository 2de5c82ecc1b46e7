"""Recall@k and MRR@10 of each ranking as bars, with their confidence intervals."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

from scripts.evaluation.measures import MEASURES, Scores

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws


def draw(scores: Mapping[str, Scores], title: str, path: Path) -> None:
    """Write the plot to `path`."""
    figure, axes = plt.subplots(figsize=(10, 4.5))
    width = 0.8 / len(scores)
    for i, (name, ranking) in enumerate(scores.items()):
        intervals = [ranking.interval(measure) for measure in MEASURES]
        means = [interval.mean for interval in intervals]
        errors = [
            [interval.mean - interval.low for interval in intervals],
            [interval.high - interval.mean for interval in intervals],
        ]
        positions = [x + (i - (len(scores) - 1) / 2) * width for x in range(len(MEASURES))]
        axes.bar(positions, means, width, yerr=errors, label=name, error_kw={"linewidth": 0.8})
    axes.set_xticks(range(len(MEASURES)), list(MEASURES))
    axes.set_ylim(0, 1)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8, ncols=2, loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
