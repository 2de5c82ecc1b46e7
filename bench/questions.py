"""Questions that nobody asked before: real ones, then ones made of the corpus' own words."""

import itertools
import json
import random
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from app.retrieval.language import question_language
from app.retrieval.question import Question

# The first of each holds a term of the glossary, as nineteen of twenty real questions do.
_FORMS = {
    "en": (
        "What are the requirements for {}?",
        "What is known about {}, and since when?",
        "How is it with {} these days, and what changed?",
    ),
    "it": (
        "Quali sono i requisiti per {}?",
        "Che cosa si sa di {}, e da quando è così?",
        "Come funziona adesso con {}, e che cosa cambia?",
    ),
    "id": (
        "Apa saja syarat untuk {}?",
        "Apa yang diketahui tentang {}, dan sejak kapan?",
        "Bagaimana sekarang dengan {}, dan apa yang berubah?",
    ),
}
_WORDS_OF_THE_CORPUS = (5, 9)
"""In a question that is made: it is as long as a real one, 12 to 18 words."""
_LEAST_WORDS_OF_A_LINE = 12


class Kind(StrEnum):
    """What the service does for a question, which is what it costs."""

    PLAIN = "no glossary version"
    GLOSSARY = "glossary versions"
    REWRITE = "one query rewrite"


ROWS = (
    ("/search", Kind.PLAIN),
    ("/search", Kind.GLOSSARY),
    ("/chat", Kind.PLAIN),
    ("/chat", Kind.GLOSSARY),
    ("/chat", Kind.REWRITE),
)
"""What is measured of new questions."""


def new_questions(shared: Path) -> Iterator[str]:
    """Return distinct questions without end: the evaluation's, in its order, then made ones.

    Args:
        shared: The folder that holds `corpus` and `eval`.
    """
    known: set[str] = set()
    for question in itertools.chain(_real(shared / "eval"), _made(shared / "corpus")):
        if question not in known:
            known.add(question)
            yield question


def has_versions(question: str) -> bool:
    """Whether the glossary adds versions in other languages, each with a vector of its own."""
    return bool(Question(question, question_language(question), {}).meanings)


def _real(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            if question := record.get("query") or record.get("standalone"):
                yield question


def _made(corpus: Path) -> Iterator[str]:
    draw = random.Random(5)  # noqa: S311
    lines = [
        words
        for path in sorted(corpus.glob("*/*.md"))
        for line in path.read_text("utf-8", errors="replace").splitlines()
        if len(words := re.findall(r"[^\W\d_]{2,}", line)) >= _LEAST_WORDS_OF_A_LINE
    ]
    while True:
        words = draw.choice(lines)
        length = draw.randint(*_WORDS_OF_THE_CORPUS)
        start = draw.randrange(len(words) - length)
        form = draw.choice(_FORMS[draw.choice(sorted(_FORMS))])
        yield form.format(" ".join(words[start : start + length]).lower())
