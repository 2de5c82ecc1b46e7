import pytest

from app.errors import VectorsUnavailable
from app.retrieval import question_vectors
from app.retrieval.question_vectors import QuestionVectors
from tests.retrieval.material import FailingEmbedder, MadeUpEmbedder


def test_a_question_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_vectors, "_REMEMBERED", 2)
    embedder = FailingEmbedder(MadeUpEmbedder(8))
    vectors = QuestionVectors(embedder)
    with pytest.raises(VectorsUnavailable):
        vectors.of("a")
    assert not vectors.remembers(["a"])

    embedder.fails = False
    a, _ = vectors.of("a"), vectors.of("b")
    embedder.fails = True

    assert vectors.remembers(["a", "b"])
    assert (vectors.of("a") == a).all()
    assert not vectors.remembers(["a", "c"])


def test_what_was_not_asked_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_vectors, "_REMEMBERED", 2)
    vectors = QuestionVectors(MadeUpEmbedder(8))
    for text in ("a", "b", "a", "c"):
        vectors.of(text)
    assert [vectors.remembers([text]) for text in "abc"] == [True, False, True]
