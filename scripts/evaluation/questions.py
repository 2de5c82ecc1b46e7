"""Questions with the spans that answer them, and which passages hit."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.events import Passage


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of a file's text; `file` is relative to the corpus."""

    file: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question in `language`, what answers it, and how a person put it in the others."""

    id: str
    language: str
    document_language: str
    text: str
    gold: Sequence[Span]
    translations: Mapping[str, str]

    @property
    def pair(self) -> str:
        """The question's language and the document's."""
        return f"{self.language} → {self.document_language}"


def load(path: Path) -> list[Question]:
    """The questions of a JSON Lines file."""
    return [_question(json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def gold_files(questions: Iterable[Question]) -> set[str]:
    """The files that hold answers."""
    return {span.file for question in questions for span in question.gold}


def hits(passage: Passage, question: Question) -> bool:
    """Whether the passage covers half of a gold span, or lies half inside one.

    A document's id is its file's path without the extension.
    """
    for span in question.gold:
        if passage.document_id != str(Path(span.file).with_suffix("")):
            continue
        shared = min(passage.end, span.end) - max(passage.start, span.start)
        shorter = min(passage.end - passage.start, span.end - span.start)
        if shared > 0 and 2 * shared >= shorter:
            return True
    return False


def _question(record: Mapping[str, object]) -> Question:
    gold = record["gold"]
    translations = record["translations"]
    assert isinstance(gold, list)
    assert isinstance(translations, dict)
    return Question(
        id=str(record["id"]),
        language=str(record["lang"]),
        document_language=str(record["doc_lang"]),
        text=str(record["query"]),
        gold=[Span(span["file"], span["start"], span["end"]) for span in gold],
        translations=translations,
    )
