"""Recall@k and MRR@10 of rankings, in all and by language pair, with confidence intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np
from ir_measures import RR, Success

from app.events import Passage
from scripts.evaluation.questions import Question, hits

# What is asked is whether an answer is among the first k: of a gold span cut into two
# passages one is enough. ir-measures calls that Success@k.
RECALLS = {f"R@{k}": Success @ k for k in (1, 5, 10, 50)}
MEASURES = {**RECALLS, "MRR@10": RR @ 10}

_RESAMPLES = 2_000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Each measure's values, one a question, in the questions' order."""

    questions: Sequence[Question]
    values: Mapping[str, Sequence[float]]

    def mean(self, measure: str) -> float:
        """Over all questions."""
        return float(np.mean(self.values[measure]))

    def interval(self, measure: str) -> Interval:
        """Resampled by topic: the same question in three languages is no three questions."""
        topics: dict[str, list[float]] = {}
        for question, value in zip(self.questions, self.values[measure], strict=True):
            topics.setdefault(question.id.split("-")[0], []).append(value)
        means = np.array([np.mean(values) for values in topics.values()])
        picks = np.random.default_rng(_SEED).integers(len(means), size=(_RESAMPLES, len(means)))
        low, high = np.quantile(means[picks].mean(axis=1), (0.025, 0.975))
        return Interval(float(means.mean()), float(low), float(high))

    def by_pair(self, measure: str) -> dict[str, float]:
        """The mean of each pair of question's and document's language."""
        pairs: dict[str, list[float]] = {}
        for question, value in zip(self.questions, self.values[measure], strict=True):
            pairs.setdefault(question.pair, []).append(value)
        return {pair: float(np.mean(values)) for pair, values in sorted(pairs.items())}


def score(questions: Sequence[Question], rankings: Sequence[Sequence[Passage]]) -> Scores:
    """Judge one ranking, best first, for each question."""
    run: dict[str, dict[str, float]] = {}
    judgements: dict[str, dict[str, int]] = {}
    for question, ranking in zip(questions, rankings, strict=True):
        # A question that found nothing would be left out of the mean.
        run[question.id] = {"nothing": 0.0}
        judgements[question.id] = {"answer": 1}
        for rank, passage in enumerate(ranking, start=1):
            name = f"{passage.document_id}:{passage.start}"
            run[question.id][name] = 1 / rank
            judgements[question.id][name] = int(hits(passage, question))
    found = {
        (str(metric.measure), metric.query_id): metric.value
        for metric in ir_measures.iter_calc(list(MEASURES.values()), judgements, run)
    }
    return Scores(
        questions,
        {
            name: [found[str(measure), question.id] for question in questions]
            for name, measure in MEASURES.items()
        },
    )
