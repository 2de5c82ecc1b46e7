"""What an earlier passage says already, word for word or nearly, takes no place of its own."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from string import digits
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


class _Said:
    """A passage's text; its words are counted when its digits alone do not tell it apart."""

    def __init__(self, text: str) -> None:
        self._text = text
        # The same numbers have the same digits: ten counts take a tenth of finding the words.
        self._digits = tuple(map(text.count, digits))

    @cached_property
    def _words(self) -> _Words:
        return _Words.of(self._text)

    def says_the_same(self, other: "_Said") -> bool:
        return self._digits == other._digits and self._words.says_the_same(other._words)


def without_copies(passages: Iterable[Passage]) -> Iterator[Passage]:
    """The passages, best first, without those that say what an earlier one says.

    Passages with other numbers or another negation are never taken for the same.
    """
    said: list[_Said] = []
    for passage in passages:
        this = _Said(passage.text)
        if not any(map(this.says_the_same, said)):
            said.append(this)
            yield passage
