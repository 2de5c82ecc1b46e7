"""A question, and how it is put to documents in each language."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from app.retrieval.glossary import terms_in


class Words(NamedTuple):
    """Words and terms to look for in documents of some languages."""

    text: str
    terms: Sequence[str]
    languages: frozenset[str]


@dataclass(frozen=True)
class Question:
    """A question as it was asked, its language if that can be told, and its translations."""

    text: str
    language: str | None
    translations: Mapping[str, str]

    def words_in(self, languages: Collection[str]) -> Iterator[Words]:
        """What to look for by words in documents of these languages.

        A translation goes to its language, and the question's own words to all that
        have none: names are the same everywhere. What its terms are called in a
        language is looked for there.
        """
        translated = {language for language in languages if language in self.translated}
        rest = frozenset(languages) - translated
        if rest:
            yield Words(self.text, self.terms_for(self.language), rest)
        for language in sorted(set(languages) - {self.language}):
            terms = self.terms_for(language)
            if language in translated:
                yield Words(self.translations[language], terms, frozenset({language}))
            elif terms:
                yield Words(self._names, terms, frozenset({language}))

    def terms_for(self, language: str | None) -> list[str]:
        """What the terms of the question and of its translations are called in a language."""
        return self._terms.get(language, []) if language else []

    @cached_property
    def meanings(self) -> dict[str, str]:
        """By language, what to look for there by meaning when it is not the question itself.

        Where there is no translation the terms stand beside the question: Recall@10 of
        the dense half was .80 with them and .71 without.
        """
        bridged = {
            language: f"{self.text} {', '.join(terms)}"
            for language, terms in self._terms.items()
            if language != self.language
        }
        return bridged | self.translated

    @cached_property
    def translated(self) -> dict[str, str]:
        """Its translations into other languages than its own."""
        return {
            language: text
            for language, text in self.translations.items()
            if language != self.language and text != self.text
        }

    @property
    def _names(self) -> str:
        """Words with a digit: `E33G`, `56101`."""
        return " ".join(word for word in self.text.split() if any(c.isdigit() for c in word))

    @cached_property
    def _terms(self) -> dict[str, list[str]]:
        """Other versions say it in a language's own words; without them its synonyms do."""
        versions: dict[str | None, str] = {self.language: self.text}
        for code, text in self.translations.items():
            versions.setdefault(code, text)
        terms: dict[str, dict[str, None]] = {}
        for language, text in versions.items():
            for target, found in terms_in(text, language).items():
                if target != language or not self.translations:
                    terms.setdefault(target, {}).update(dict.fromkeys(found))
        return {target: list(found) for target, found in terms.items()}
