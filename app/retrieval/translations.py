"""Several language versions of one topic among the results: the asker's comes first.

A folder named by its language holds translations: `it/pt-pma-setup` and
`en/pt-pma-setup` are one topic.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from app.retrieval.document_cache import RankedDocument

# Below nearly everything that is no translation, and still there when little is found.
_DEMOTION = 0.1


class Candidate(NamedTuple):
    """A chunk that was found, with its scores as a `Passage` has them."""

    chunk_id: int
    document: RankedDocument
    score: float
    dense_score: float = 0.0
    lexical_score: float = 0.0


def prefer_one_version(candidates: Sequence[Candidate], language: str | None) -> list[Candidate]:
    """Demote all but one language version of each topic; best first.

    Kept is the version in the question's `language` when it was found, else the
    one that ranks first. `candidates` come best first.
    """
    kept: dict[str, str] = {}
    for candidate in candidates:
        document = candidate.document
        topic = document.topic
        if topic and (topic not in kept or document.language == language):
            kept[topic] = document.language
    ranked = [
        candidate
        if kept.get(candidate.document.topic) in (None, candidate.document.language)
        else candidate._replace(score=candidate.score * _DEMOTION)
        for candidate in candidates
    ]
    return sorted(ranked, key=attrgetter("score"), reverse=True)
