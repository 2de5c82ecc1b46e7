"""The structure of Indonesian statutes: BAB, Bagian, Paragraf, Pasal, and the PENJELASAN.

Read from text as it is found, OCR and page breaks included: a heading stands on a
line of its own. The explanation after the articles is one section, since most of
its own articles say "Cukup jelas" (clear enough) and nothing else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Below these stand Markdown's six.
_EXPLANATION, _CHAPTER, _PART, _PARAGRAPH, _ARTICLE = range(7, 12)

# Fewer than these are quotations in a guide.
_MIN_ARTICLES = 3
# The explanation follows the articles; a consolidated text may have the word on top.
_EXPLANATION_FROM = 0.2
_MAX_TITLE_LINES = 3

_ENDING = r"[ \t]*[.\\]?[ \t]*$"
_NUMBERED = r"^[ \t]*(?:\(\d+\)[ \t]*)*"
_HEADINGS = re.compile(
    rf"{_NUMBERED}(?:"
    rf"(?P<chapter>BAB[ \t]+[IVXLivxl]+[A-Z]?){_ENDING}"
    rf"|(?P<part>Bagian[ \t]+Ke[a-z]+(?:[ \t][A-Z][a-z]+)?|Bagian[ \t]+Pertama){_ENDING}"
    rf"|(?P<paragraph>Paragraf[ \t]+\d+){_ENDING}"
    rf"|(?P<article>Pasal[ \t]*\d[\d ]{{0,4}}[A-Za-z]?){_ENDING})",
    re.M,
)
_LEVELS = {"chapter": _CHAPTER, "part": _PART, "paragraph": _PARAGRAPH, "article": _ARTICLE}
_EXPLANATIONS = re.compile(r"PENJELASAN\W+(?=ATAS\b|REPUBLIK\b|PEMERINTAH\b|UNDANG\b)")

# "sebagaimana dimaksud dalam / Pasal 5 / ayat (1)": a line of its own, but no heading.
_LEADS_ON = re.compile(r"(?:\b(?:dalam|pada|dan|atau|dengan|dari|ketentuan|dimaksud|jo\.)|,)\s*\Z")
_GOES_ON = re.compile(r"\s*(?:ayat|huruf|dan|atau|sampai|angka)\b|\s*[,;]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading and its level, 1 the highest; its line is `text[start:end]`."""

    level: int
    text: str
    start: int
    end: int


def statute_headings(text: str, body_start: int = 0) -> list[Heading]:
    """The headings of a statute in order; none when the text is no statute."""
    headings = list(_headings(text, body_start))
    if sum(heading.level == _ARTICLE for heading in headings) < _MIN_ARTICLES:
        headings = []
    explained_from = explanation_start(text, body_start)
    if explained_from < len(text):
        explanation = Heading(_EXPLANATION, "Penjelasan", explained_from, explained_from)
        headings = [*(h for h in headings if h.start < explained_from), explanation]
    return headings


def explanation_start(text: str, body_start: int = 0) -> int:
    """Where the PENJELASAN begins; the text's length when there is none."""
    first = body_start + int((len(text) - body_start) * _EXPLANATION_FROM)
    match = _EXPLANATIONS.search(text, first)
    return match.start() if match else len(text)


def _headings(text: str, body_start: int) -> Iterator[Heading]:
    for match in _HEADINGS.finditer(text, body_start):
        kind = str(match.lastgroup)
        name = " ".join(match[kind].split())
        if kind == "article":
            if _is_reference(text, match):
                continue
            number = re.sub(r"\D*(\d[\d ]*)", lambda m: m[1].replace(" ", ""), match[kind])
            yield Heading(_ARTICLE, f"Pasal {number}", match.start(), match.end())
        else:
            title, end = _title(text, match.end())
            yield Heading(_LEVELS[kind], f"{name} {title}".strip(), match.start(), end)


def _is_reference(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 40) : match.start()]
    return bool(_LEADS_ON.search(before) or _GOES_ON.match(text, match.end()))


def _title(text: str, position: int) -> tuple[str, int]:
    """The short lines under `BAB II` that say what it is about, and where they end."""
    lines: list[str] = []
    for line in re.finditer(r".*\n?", text[position + 1 : position + 400]):
        words = line[0].strip(" \t\n\\")
        starts_text = words.startswith(("(", "Pasal", "Bagian", "Paragraf")) or len(words) > 80
        if starts_text or (not words and lines) or len(lines) == _MAX_TITLE_LINES:
            return " ".join(lines), position + 1 + line.start() if lines else position
        if words:
            lines.append(words)
    return "", position
