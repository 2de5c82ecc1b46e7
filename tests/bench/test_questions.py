from itertools import islice
from pathlib import Path

import pytest

from bench.corpus import NewQuestions
from bench.questions import Kind, has_versions, new_questions
from tests.shared import corpus, evaluation


@pytest.fixture(scope="module")
def shared() -> Path:
    evaluation("retrieval-dev.jsonl")
    return corpus("").parent


def test_no_question_is_asked_twice_and_real_ones_come_first(shared: Path) -> None:
    questions = list(islice(new_questions(shared), 2_000))

    assert len(set(questions)) == 2_000
    # Of the evaluation's first file, and made of a document's words.
    assert questions[0] in (shared / "eval" / "followups-dev.jsonl").read_text("utf-8")
    assert questions == list(islice(new_questions(shared), 2_000))


def test_made_questions_are_as_long_as_real_ones(shared: Path) -> None:
    questions = list(islice(new_questions(shared), 2_000))

    def words(part: list[str]) -> float:
        return sum(len(question.split()) for question in part) / len(part)

    assert 0.7 < words(questions[-1_000:]) / words(questions[:200]) < 1.3


def test_a_question_with_terms_of_the_glossary_has_versions() -> None:
    assert has_versions("Quanto costa un prestanome per una società a capitale straniero?")
    assert not has_versions("How long does the ferry to the next island take in winter?")


def test_a_question_is_given_out_once_and_too_few_are_an_error() -> None:
    questions = NewQuestions({"/chat, no glossary version": iter(["one", "two", "three"])})

    assert questions.take("/chat", Kind.PLAIN, 2) == ["one", "two"]
    with pytest.raises(RuntimeError, match="1 of 2 new questions left"):
        questions.take("/chat", Kind.PLAIN, 2)
