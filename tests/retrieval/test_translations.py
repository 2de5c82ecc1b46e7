from app.retrieval.document_cache import RankedDocument, topic_of
from app.retrieval.translations import Candidate, prefer_one_version


def passage(document_id: str, language: str, score: float) -> Candidate:
    topic = topic_of(document_id, language)
    return Candidate(0, RankedDocument(0, document_id, language, None, None, topic), score)


def order(candidates: list[Candidate], language: str | None) -> list[str]:
    return [c.document.id for c in prefer_one_version(candidates, language)]


CAPITAL = [
    passage("id/capital", "id", 0.5),
    passage("it/capital", "it", 0.4),
    passage("laws/uu-25", "id", 0.3),
    passage("en/capital", "en", 0.2),
]


def test_the_version_in_the_questions_language_comes_first() -> None:
    assert order(CAPITAL, "it") == ["it/capital", "laws/uu-25", "id/capital", "en/capital"]


def test_in_doubt_the_best_version_is_kept() -> None:
    assert order(CAPITAL, None) == ["id/capital", "laws/uu-25", "it/capital", "en/capital"]


def test_a_topic_that_is_not_found_in_the_questions_language_is_kept_in_another() -> None:
    assert order([CAPITAL[0], CAPITAL[2]], "it") == ["id/capital", "laws/uu-25"]


def test_documents_outside_language_folders_are_left_alone() -> None:
    found = [passage("a/x", "en", 0.2), passage("b/x", "it", 0.1)]
    assert prefer_one_version(found, "it") == found
