import json
from pathlib import Path

import pytest

from app.retrieval import shipped_vectors, small_talk
from app.retrieval.e5 import E5Embedder
from app.retrieval.small_talk import SmallTalk
from tests.retrieval.small_talk_lines import SHORT_QUESTIONS, SMALL_TALK


@pytest.fixture(scope="module")
def judge(embedder: E5Embedder) -> SmallTalk:
    return SmallTalk(embedder)


def test_most_small_talk_is_told(judge: SmallTalk, embedder: E5Embedder) -> None:
    told = [vector for vector in embedder.embed_queries(SMALL_TALK) if judge.matches(vector)]
    assert len(told) >= 0.88 * len(SMALL_TALK)


@pytest.mark.parametrize("line", ["ciao come va", "grazie mille", "apa kabar?", "Hello!", "merci"])
def test_plain_greetings_are_small_talk(judge: SmallTalk, embedder: E5Embedder, line: str) -> None:
    assert judge.matches(embedder.embed_queries([line])[0])


def test_no_short_question_is_taken_for_small_talk(judge: SmallTalk, embedder: E5Embedder) -> None:
    vectors = zip(SHORT_QUESTIONS, embedder.embed_queries(SHORT_QUESTIONS), strict=True)
    assert [question for question, vector in vectors if judge.matches(vector)] == []


def test_the_measured_lines_are_no_examples() -> None:
    examples = json.loads(Path(small_talk.__file__).with_suffix(".json").read_text("utf-8"))
    known = {text.lower() for kind in examples.values() for text in kind}
    assert not known & {line.lower() for line in SMALL_TALK + SHORT_QUESTIONS}


def test_every_example_has_its_shipped_vector(embedder: E5Embedder) -> None:
    """After a change to small_talk.json: `python -m scripts.build_vectors`."""
    shipped = shipped_vectors.load(small_talk.VECTORS, embedder)
    fresh = SmallTalk(embedder).vectors()
    assert shipped.keys() == fresh.keys()
    assert all(vector @ shipped[key] > 0.999 for key, vector in fresh.items())
