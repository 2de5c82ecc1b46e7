"""Terms of the trade in three languages: a bridge between them that needs no model.

A question for a *prestanome* finds the passage on a nominee and the one on *pinjam
nama*. The glossary is `glossary.tsv`: a line a meaning, a column a language, `|`
between what says the same.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from app.retrieval.stop_words import STOP_WORDS
from app.retrieval.words import fold, shorten

_FILE = Path(__file__).with_name("glossary.tsv")
_SEPARATOR = "|"

# In words: the longest that is looked for in a question.
_LONGEST_TERM = 6

_Words = tuple[str, ...]
_Entry = Mapping[str, Sequence[str]]


class Glossary:
    """Finds the terms in a question, inflected too, and says them in other languages."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self._entries = entries
        self._by_words: dict[str, dict[_Words, list[int]]] = {}
        self._by_stems: dict[str, dict[_Words, list[int]]] = {}
        for number, entry in enumerate(entries):
            for language, terms in entry.items():
                by_words = self._by_words.setdefault(language, {})
                by_stems = self._by_stems.setdefault(language, {})
                for words in dict.fromkeys(tuple(fold(term)) for term in terms):
                    by_words.setdefault(words, []).append(number)
                for stems in dict.fromkeys(_stems(term) for term in terms):
                    by_stems.setdefault(stems, []).append(number)

    def terms(self, question: str, language: str | None) -> dict[str, list[str]]:
        """What the question's terms are called in each language, its own too.

        A question whose language cannot be told may be in any.
        """
        sources = [language] if language in self._by_stems else list(self._by_stems)
        numbers = dict.fromkeys(n for source in sources for n in self._found(question, source))
        entries = [self._entries[number] for number in numbers]
        return {
            target: terms
            for target in self._by_stems
            if (terms := list(dict.fromkeys(t for entry in entries for t in entry[target])))
        }

    def _found(self, question: str, language: str) -> list[int]:
        """The entries of a question's terms: of two that overlap the longer, or the first.

        Inflected too, unless the very words are a term: a `licenza` is no `licenziamento`.
        """
        whole, known = self._by_words[language], self._by_stems[language]
        words = fold(question)
        stems = [shorten(word) for word in words]
        numbers: list[int] = []
        start = 0
        while start < len(words):
            for length in range(_LONGEST_TERM, 0, -1):
                term = tuple(stems[start : start + length])
                is_stop_word = length == 1 and words[start] in STOP_WORDS
                if len(term) == length and term in known and not is_stop_word:
                    numbers += whole.get(tuple(words[start : start + length]), known[term])
                    start += length
                    break
            else:
                start += 1
        return numbers


@cache
def glossary() -> Glossary:
    """The one that ships with the service."""
    header, *lines = _FILE.read_text("utf-8").splitlines()
    languages = header.split("\t")
    return Glossary(
        [
            {
                language: cell.split(_SEPARATOR)
                for language, cell in zip(languages, line.split("\t"), strict=True)
            }
            for line in lines
        ]
    )


@lru_cache(maxsize=1_024)
def terms_in(question: str, language: str | None) -> Mapping[str, Sequence[str]]:
    """What it says of a question's terms; of the last questions it is remembered."""
    return glossary().terms(question, language)


def _stems(term: str) -> _Words:
    return tuple(shorten(word) for word in fold(term))
