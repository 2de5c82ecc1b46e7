from collections.abc import Sequence

import numpy as np
import pytest

from app.errors import VectorsUnavailable
from app.retrieval import question_vectors
from app.retrieval.embedder import Vectors
from app.retrieval.question import Question
from app.retrieval.question_vectors import QuestionVectors
from tests.retrieval.material import FailingEmbedder, MadeUpEmbedder


class BatchNotingEmbedder(MadeUpEmbedder):
    def __init__(self) -> None:
        super().__init__(8)
        self.batches: list[list[str]] = []

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        return super().embed_queries(texts)


def asked(text: str, **translations: str) -> Question:
    return Question(text, "it", translations)


def test_a_question_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_vectors, "_REMEMBERED", 2)
    embedder = FailingEmbedder(MadeUpEmbedder(8))
    vectors = QuestionVectors(embedder)
    with pytest.raises(VectorsUnavailable):
        vectors.of(asked("a"))
    assert not vectors.remembers(asked("a"))

    embedder.fails = False
    a, _ = vectors.of(asked("a")), vectors.of(asked("b"))
    embedder.fails = True

    assert vectors.remembers(asked("a", en="b"))
    assert (vectors.of(asked("a")).own == a.own).all()
    assert not vectors.remembers(asked("a", en="c"))


def test_the_versions_of_a_question_are_one_batch_of_what_is_not_remembered() -> None:
    embedder = BatchNotingEmbedder()
    vectors = QuestionVectors(embedder)
    vectors.of(asked("a", en="b"))
    vectors.of(asked("a", en="b", id="c"))
    vectors.of(asked("d", en="e", id="d"))
    assert embedder.batches == [["a", "b"], ["c"], ["d", "e"]]


def test_what_was_not_asked_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_vectors, "_REMEMBERED", 2)
    vectors = QuestionVectors(MadeUpEmbedder(8))
    for text in ("a", "b", "a", "c"):
        vectors.of(asked(text))
    assert [vectors.remembers(asked(text)) for text in "abc"] == [True, False, True]


def test_each_version_of_a_question_is_helped_by_the_others() -> None:
    vectors = QuestionVectors(MadeUpEmbedder())
    it, en, idn = (vectors.of(asked(text)).own for text in ("a", "b", "c"))
    found = vectors.of(asked("a", en="b", id="c")).by_language
    assert found.keys() == {"it", "en", "id"}
    for language, own, others in (("it", it, en + idn), ("en", en, it + idn), ("id", idn, it + en)):
        expected = own + others / 2
        np.testing.assert_allclose(found[language], expected / np.linalg.norm(expected), rtol=1e-5)


def test_a_language_without_a_translation_is_asked_with_what_the_glossary_says() -> None:
    vectors = QuestionVectors(MadeUpEmbedder())
    assert vectors.of(asked("a")).by_language == {}
    question = asked("Posso usare un prestanome?")
    bridged = vectors.of(question).by_language
    assert bridged.keys() == {"en", "id"}
    assert (bridged["id"] == vectors.of(asked(question.meanings["id"])).own).all()


def test_a_translation_of_a_question_in_no_known_language_stands_alone() -> None:
    vectors = QuestionVectors(MadeUpEmbedder())
    found = vectors.of(Question("?", None, {"en": "b"})).by_language
    assert (found["en"] == vectors.of(asked("b")).own).all()


def test_long_versions_are_embedded_one_by_one_and_short_ones_together() -> None:
    vectors = QuestionVectors(BatchNotingEmbedder())
    long = [letter * 1_990 for letter in "xyz"]
    assert vectors.slices(asked("a", en="b", id="a")) == [["a", "b"]]
    assert vectors.slices(asked(long[0], en=long[1], id=long[2])) == [[text] for text in long]
    vectors.embed(["a"])
    assert vectors.slices(asked("a", en="b")) == [["b"]]
