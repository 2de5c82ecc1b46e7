"""Several language versions of one topic among the results: the asker's comes first.

A folder named by its language holds translations: `it/pt-pma-setup` and
`en/pt-pma-setup` are one topic.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.events import Passage

# Below nearly everything that is no translation, and still there when little is found.
_DEMOTION = 0.1


def prefer_one_version(passages: Sequence[Passage], language: str | None) -> list[Passage]:
    """Demote all but one language version of each topic; best first.

    Kept is the version in the question's `language` when it was found, else the
    one that ranks first. `passages` come best first.
    """
    kept: dict[str, str] = {}
    for passage in passages:
        topic = _topic(passage)
        if topic and (topic not in kept or passage.language == language):
            kept[topic] = passage.language
    ranked = [
        passage
        if kept.get(_topic(passage), passage.language) == passage.language
        else replace(passage, score=passage.score * _DEMOTION)
        for passage in passages
    ]
    return sorted(ranked, key=lambda passage: -passage.score)


def _topic(passage: Passage) -> str:
    """The document's id without its language folder; empty when it has none."""
    parts = passage.document_id.split("/")
    rest = [part for part in parts if part != passage.language]
    return "/".join(rest) if len(rest) < len(parts) else ""
