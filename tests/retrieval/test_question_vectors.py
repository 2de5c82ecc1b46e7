import numpy as np
import pytest

from app.errors import VectorsUnavailable
from app.retrieval import question_vectors
from app.retrieval.question import Question
from app.retrieval.question_vectors import QuestionVectors
from tests.retrieval.material import FailingEmbedder, MadeUpEmbedder


def asked(text: str, **translations: str) -> Question:
    return Question(text, "it", translations)


def test_a_question_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_vectors, "_REMEMBERED", 2)
    embedder = FailingEmbedder(MadeUpEmbedder(8))
    vectors = QuestionVectors(embedder)
    with pytest.raises(VectorsUnavailable):
        vectors.of("a")
    assert not vectors.remembers(asked("a"))

    embedder.fails = False
    a, _ = vectors.of("a"), vectors.of("b")
    embedder.fails = True

    assert vectors.remembers(asked("a", en="b"))
    assert (vectors.of("a") == a).all()
    assert not vectors.remembers(asked("a", en="c"))


def test_what_was_not_asked_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_vectors, "_REMEMBERED", 2)
    vectors = QuestionVectors(MadeUpEmbedder(8))
    for text in ("a", "b", "a", "c"):
        vectors.of(text)
    assert [vectors.remembers(asked(text)) for text in "abc"] == [True, False, True]


def test_each_version_of_a_question_is_helped_by_the_others() -> None:
    vectors = QuestionVectors(MadeUpEmbedder())
    it, en, idn = (vectors.of(text) for text in ("a", "b", "c"))
    found = vectors.by_language(asked("a", en="b", id="c"))
    assert found.keys() == {"it", "en", "id"}
    for language, own, others in (("it", it, en + idn), ("en", en, it + idn), ("id", idn, it + en)):
        expected = own + others / 2
        np.testing.assert_allclose(found[language], expected / np.linalg.norm(expected), rtol=1e-5)


def test_a_language_without_a_translation_is_asked_with_what_the_glossary_says() -> None:
    vectors = QuestionVectors(MadeUpEmbedder())
    assert vectors.by_language(asked("a")) == {}
    bridged = vectors.by_language(asked("Posso usare un prestanome?"))
    assert bridged.keys() == {"en", "id"}
    assert (bridged["id"] == vectors.of(asked("Posso usare un prestanome?").meanings["id"])).all()


def test_a_translation_of_a_question_in_no_known_language_stands_alone() -> None:
    vectors = QuestionVectors(MadeUpEmbedder())
    found = vectors.by_language(Question("?", None, {"en": "b"}))
    assert (found["en"] == vectors.of("b")).all()
