"""The retrieval's figures on fixed parts of the corpus.

By words alone on the documents with answers and a dozen of others, whose embedding
would take twenty minutes; by meaning too on seven of them, 284 passages. `make eval`
measures all of it.
"""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from app.errors import VectorsUnavailable
from app.retrieval.dense import DenseSearch
from app.retrieval.e5 import E5Embedder
from app.retrieval.embedder import Vectors
from app.retrieval.hybrid import HybridSearch
from app.retrieval.ingest import Ingester, Turns
from app.retrieval.language import question_language
from app.retrieval.options import NOTHING_SAID
from app.retrieval.question import Question as Asked
from app.retrieval.sources import Source
from app.retrieval.store import Store
from app.settings import Settings
from scripts.evaluate import EVERYTHING, evaluate
from scripts.evaluation import questions as question_set
from scripts.evaluation.indexing import index
from scripts.evaluation.measures import Scores, score
from scripts.evaluation.questions import Question
from scripts.evaluation.vector_cache import CachingEmbedder
from tests.service import settings_for
from tests.shared import corpus, evaluation

pytestmark = pytest.mark.slow

DISTRACTORS = 12
EMBEDDED = (
    "guides/e28a-investor-kitas-guide-2025.md",
    "guides/indonesian-legal-codes.md",
    "guides/indonesian-legal-framework-contracts-property-marriage.md",
    "guides/json-coretax-system-2025.md",
    "guides/json-transfer-pricing-indonesia.md",
    "guides/kbli-bali-common-businesses-complete-guide.md",
    "laws/permenaker-8-2021.md",
)


class NoVectors:
    """All passages are alike, so that only their words tell them apart."""

    name = "none"
    dimension = 384

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return np.tile(np.eye(1, self.dimension, dtype=np.float32), (len(texts), 1))

    def embed_queries(self, texts: Sequence[str]) -> NoReturn:
        raise VectorsUnavailable(f"not embedded: {texts}")


class OfLengths:
    """A vector of a text's length; counts what it embeds."""

    dimension = 2

    def __init__(self, name: str, factor: int) -> None:
        self.name, self.factor = name, factor
        self.embedded: list[str] = []

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return np.array([[len(text), self.factor] for text in texts], dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> NoReturn:
        raise AssertionError(texts)


class WordsAlone(DenseSearch):
    async def ask(self, *_: object, **__: object) -> NoReturn:
        raise VectorsUnavailable("searched by words alone")


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return question_set.load(evaluation("retrieval-dev.jsonl"))


@pytest.fixture(scope="module")
def search(
    questions: list[Question], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HybridSearch]:
    """The documents with answers and a fixed dozen of others, indexed as the service does."""
    root = corpus("")
    folder = tmp_path_factory.mktemp("corpus")
    gold = {span.file for question in questions for span in question.gold}
    others = {str(path.relative_to(root)) for path in root.glob("*/*.md")} - gold
    by_hash = sorted(others, key=lambda name: sha256(name.encode()).hexdigest())
    for name in [*gold, *by_hash[:DISTRACTORS]]:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, folder / name)
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data"))
    store, embedder = Store(settings.data_dir), NoVectors()
    dense = WordsAlone(settings, store, embedder)
    turns = Turns()
    ingester = Ingester(store, dense, embedder, turns)
    asyncio.run(ingester.run([Source(folder)], NOTHING_SAID, lambda _: None))
    turns.close()
    yield HybridSearch(store, dense)
    dense.close()
    store.close()


async def scores_of(search: HybridSearch, questions: list[Question], *, translated: bool) -> Scores:
    rankings = []
    for question in questions:
        translations = question.translations if translated else {}
        asked = Asked(question.text, question_language(question.text), translations)
        rankings.append((await search.search(asked, EVERYTHING, 50)).passages)
    return score(questions, rankings)


@pytest.mark.parametrize(
    ("translated", "recall", "worst_pair", "mrr"),
    [(False, 0.75, 0.60, 0.36), (True, 0.75, 0.60, 0.30)],
    ids=["no-model", "recorded-translations"],
)
async def test_by_words_alone_most_answers_are_among_the_first_ten(
    translated: bool,
    recall: float,
    worst_pair: float,
    mrr: float,
    search: HybridSearch,
    questions: list[Question],
) -> None:
    scores = await scores_of(search, questions, translated=translated)

    pairs = scores.by_pair("R@10")
    assert scores.mean("R@10") >= recall
    assert scores.mean("MRR@10") >= mrr
    assert min(pairs.values()) >= worst_pair


async def test_both_halves_find_most_answers_in_seven_documents(
    questions: list[Question], tmp_path: Path
) -> None:
    for name in EMBEDDED:
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(corpus(name), path)
    settings = settings_for(tmp_path / "data")
    embedder = E5Embedder()
    await asyncio.to_thread(index, tmp_path / "corpus", settings, embedder)
    answered = [q for q in questions if all(span.file in EMBEDDED for span in q.gold)]
    scores = await evaluate(answered, settings, embedder)
    assert len(answered) == 21
    for name, recall, mrr in (
        ("dense", 0.70, 0.30),
        ("lexical", 0.75, 0.40),
        ("fused", 0.80, 0.55),
        ("dense, recorded translations", 0.75, 0.35),
        ("fused, recorded translations", 0.80, 0.50),
    ):
        assert scores[name].mean("R@10") >= recall, name
        assert scores[name].mean("MRR@10") >= mrr, name


def test_vectors_are_kept_by_embedder_and_text_and_none_is_made_twice(tmp_path: Path) -> None:
    one, other = OfLengths("one", 1), OfLengths("other", 2)
    texts = [f"{'x' * (n % 7)} {n}" for n in range(200)]
    for _ in range(2):
        for embedder in (one, other):
            cache = CachingEmbedder(embedder, tmp_path / "vectors.sqlite3")
            found = cache.embed_passages([*texts, *texts])
            assert found.tolist() == [[len(text), embedder.factor] for text in [*texts, *texts]]
            cache.close()
    assert sorted(one.embedded) == sorted(other.embedded) == sorted(texts)


def test_what_is_missing_is_embedded_once_and_reported_slice_by_slice(tmp_path: Path) -> None:
    embedder = OfLengths("one", 1)
    cache = CachingEmbedder(embedder, tmp_path / "vectors.sqlite3")
    cache.embed_passages(["there"])
    texts = [str(n) for n in range(100, 200)]

    missing = cache.missing(["there", *texts, *texts])

    assert sorted(missing) == texts
    assert list(cache.fill(missing)) == [64, 100]
    assert cache.missing(["there", *texts]) == []
    cache.close()
