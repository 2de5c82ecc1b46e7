"""How well the retrieval finds what answers a question: `make eval`.

Runs the service's own ingest and search over a folder of documents, asks questions
whose answers are known, and prints Recall@k and MRR@10 of each ranking, in all and
by language pair. Vectors are kept by embedder and content outside the repository: the
first run embeds the corpus, later ones take about a minute.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.events import Passage
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder
from app.retrieval.embedders import configured_embedder
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.hybrid import Found, HybridSearch
from app.retrieval.language import question_language
from app.retrieval.question import Question as Asked
from app.retrieval.records import PUBLIC
from app.retrieval.store import Store
from app.settings import ROOT, Settings
from scripts.evaluation import questions as question_set
from scripts.evaluation.indexing import index
from scripts.evaluation.measures import MEASURES, Scores, score
from scripts.evaluation.questions import Question
from scripts.evaluation.vector_cache import CachingEmbedder

SHARED = ROOT.parent / "shared"
ALL = 1_000
ATTEMPTS = 10
PLOT = ROOT / "docs" / "retrieval-eval.png"
EVERYTHING = Scope(SearchFilters(), frozenset({PUBLIC}))

Rankings = Mapping[str, Sequence[Sequence[Passage]]]


async def rank(
    hybrid: HybridSearch, questions: Sequence[Question], *, translated: bool
) -> dict[str, list[list[Passage]]]:
    """For each question the passages by meaning, by words, and as the service ranks them."""
    rankings: dict[str, list[list[Passage]]] = {"dense": [], "lexical": [], "fused": []}
    for question in questions:
        translations = question.translations if translated else {}
        asked = Asked(question.text, question_language(question.text), translations)
        found = await _search(hybrid, asked)
        rankings["dense"].append(_best(found.passages, lambda passage: passage.dense_score))
        rankings["lexical"].append(_best(found.passages, lambda passage: passage.lexical_score))
        rankings["fused"].append(list(found.passages))
    return rankings


async def _search(hybrid: HybridSearch, question: Asked) -> Found:
    """Asked again when a busy machine let the dense half run into its time limit."""
    for _ in range(ATTEMPTS):
        found = await hybrid.search(question, EVERYTHING, ALL)
        if found.small_talk:
            raise SystemExit(f"taken for small talk: {question.text}")
        if not found.degraded:
            return found
    raise SystemExit(f"the dense half failed {ATTEMPTS} times: {question.text}")


def _best(passages: Sequence[Passage], part: Callable[[Passage], float]) -> list[Passage]:
    """What one half found, in its order; what is equal there not in the order of both halves."""
    found = (p for p in passages if part(p) > 0)
    return sorted(found, key=lambda p: (-part(p), p.document_id, p.start))


async def evaluate(
    questions: Sequence[Question], settings: Settings, embedder: Embedder
) -> dict[str, Scores]:
    """Each ranking's scores, without translations and with the recorded ones."""
    store = Store(settings.data_dir)
    dense = DenseSearch(settings, store, embedder)
    scores = {}
    try:
        await asyncio.to_thread(dense.warm)
        hybrid = HybridSearch(store, dense)
        for translated, suffix in ((False, ""), (True, ", recorded translations")):
            rankings = await rank(hybrid, questions, translated=translated)
            for name, ranking in rankings.items():
                scores[name + suffix] = score(questions, ranking)
    finally:
        dense.close()
        store.close()
    return scores


def print_scores(scores: Mapping[str, Scores]) -> None:
    """A line a ranking, and then Recall@10 by language pair."""
    print(f"\n{'':<32}" + "".join(f"{name:>18}" for name in MEASURES))
    for name, ranking in scores.items():
        cells = [ranking.interval(measure) for measure in MEASURES]
        print(f"{name:<32}" + "".join(f"{c.mean:6.2f} ({c.low:.2f}-{c.high:.2f})" for c in cells))
    pairs = next(iter(scores.values())).by_pair("R@10")
    print(f"\n{'R@10, question → document':<32}" + "".join(f"{pair:>9}" for pair in pairs))
    for name, ranking in scores.items():
        by_pair = ranking.by_pair("R@10").values()
        print(f"{name:<32}" + "".join(f"{value:9.2f}" for value in by_pair))


def main() -> None:
    """Ingest, ask, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=SHARED / "corpus")
    parser.add_argument("--questions", type=Path, default=SHARED / "eval/retrieval-dev.jsonl")
    parser.add_argument("--plot", type=Path, default=PLOT)
    options = parser.parse_args()
    questions = question_set.load(options.questions)
    with tempfile.TemporaryDirectory(prefix="zantara-eval-") as folder:
        settings = Settings(data_dir=Path(folder, "data"))
        with configured_embedder(settings) as configured:
            embedder = CachingEmbedder(configured)
            summary = index(options.corpus, settings, embedder)
            print(f"{len(questions)} questions; {summary}")
            scores = asyncio.run(evaluate(questions, settings, embedder))
            embedder.close()
    print_scores(scores)
    # Takes a second to import and is not there when only the checks are installed.
    from scripts.evaluation.plot import draw

    draw(scores, f"{len(questions)} questions; {summary}", options.plot)
    print(f"\nplot: {options.plot}")


if __name__ == "__main__":
    main()
