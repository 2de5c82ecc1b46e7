"""What an earlier passage says already, word for word or nearly, takes no place of its own."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.events import Passage

_ALIKE = 0.9
"""Share of common words of which two passages say the same."""

_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
# One of these more or less, and a passage says the contrary.
_NEGATIONS = (
    *("not", "no", "never", "without", "unless", "except"),
    *("non", "mai", "senza", "salvo", "tranne"),
    *("tidak", "bukan", "tanpa", "kecuali", "dilarang", "jangan", "belum"),
)


class _Words(NamedTuple):
    counts: Counter[str]
    decisive: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "_Words":
        words = _WORD.findall(text.casefold())
        counts = Counter(words)
        numbers = sorted(word for word in words if not word.isalpha() and _DIGIT.search(word))
        negations = (word for word in _NEGATIONS if word in counts)
        return cls(counts, (*numbers, *negations))

    def says_the_same(self, other: "_Words") -> bool:
        # Two rows of a table differ in their numbers alone.
        if self.decisive != other.decisive:
            return False
        common = (self.counts & other.counts).total()
        return 2 * common >= _ALIKE * (self.counts.total() + other.counts.total())


def without_copies(passages: Iterable[Passage]) -> Iterator[Passage]:
    """The passages, best first, without those that say what an earlier one says.

    Passages with other numbers or another negation are never taken for the same.
    """
    said: list[_Words] = []
    for passage in passages:
        words = _Words.of(passage.text)
        if not any(words.says_the_same(earlier) for earlier in said):
            said.append(words)
            yield passage
