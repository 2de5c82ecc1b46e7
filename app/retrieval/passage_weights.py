"""What a passage is worth beside its rank: its kind, its reach, and whether it was said already."""

import re
from collections.abc import Iterable

from app.events import Passage

# "Cukup jelas": most of an explanation says less than the article that it explains.
_EXPLANATION = 0.8
# Guides say the same at greater length, contradict each other, and contradict the law. On 84
# questions with 9,709 passages Recall@10 is .87 with this and .85 without, with recorded
# translations .93 and .86, MRR@10 .61 and .51.
_NATIONAL = 1.25
# True law, but wrong nearly everywhere: what holds in one district must not crowd out
# what holds in the whole country.
_REGIONAL = 0.6

# Words of a question that is about a district, a city or a province.
_ASKS_FOR_A_REGION = re.compile(
    r"\b(?:kabupaten|kota|provinsi|daerah|perda|perbup|perwali|bupati|wali\s?kota|gubernur|qanun"
    r"|district|regency|city|province|regional|municipal"
    r"|distretto|reggenza|citt\u00e0|provincia|regionale|comunale)\b",
    re.I,
)


def weight(passage: Passage, question: str) -> float:
    """What the passage's rank score is multiplied by, from 0.48 to 1.25."""
    explanation = _EXPLANATION if passage.kind == "explanation" else 1.0
    if passage.jurisdiction == "national":
        return explanation * _NATIONAL
    if passage.jurisdiction == "regional" and not _ASKS_FOR_A_REGION.search(question):
        return explanation * _REGIONAL
    return explanation


def without_copies(passages: Iterable[Passage]) -> list[Passage]:
    """The passages, best first, without those that say word for word what an earlier one says."""
    said: set[str] = set()
    kept = []
    for passage in passages:
        words = " ".join(passage.text.casefold().split())
        if words not in said:
            said.add(words)
            kept.append(passage)
    return kept
