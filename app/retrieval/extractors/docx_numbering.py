"""The numbers that Word puts before paragraphs: `Pasal 1`, `(2)`, `a.`"""

import re
from dataclasses import dataclass, field

from app.retrieval.extractors.archives import Element, attribute, child, local

_BULLETS = ("bullet", "none")
_MAX_LEVEL = 8
_ROMAN = (
    *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L")),
    *((40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
)


@dataclass(frozen=True, slots=True)
class Level:
    """How the paragraphs of a level are numbered: `%1` in `text` is the first level's number."""

    form: str
    text: str
    start: int = 1
    style: str | None = None
    legal: bool = False


@dataclass(slots=True)
class _List:
    levels: dict[int, Level]
    counters: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts the paragraphs of a document, in their order."""

    def __init__(self, root: Element | None) -> None:
        self._abstract: dict[str, _List] = {}
        self._of_number: dict[str, str] = {}
        self._overrides: dict[str, dict[int, Level]] = {}
        self._starts: dict[str, dict[int, int]] = {}
        self._by_style: dict[str, tuple[str, int]] = {}
        for element in root if root is not None else ():
            if local(element) == "abstractNum":
                self._abstract[attribute(element, "abstractNumId") or ""] = _List(_levels(element))
        for element in root if root is not None else ():
            if local(element) == "num":
                self._add_number(element)

    def _add_number(self, element: Element) -> None:
        number = attribute(element, "numId") or ""
        abstract = attribute(child(element, "abstractNumId"), "val") or ""
        self._of_number[number] = abstract
        for override in element:
            if local(override) != "lvlOverride":
                continue
            level = _number(attribute(override, "ilvl"), 0)
            start = attribute(child(override, "startOverride"), "val")
            if start is not None:
                self._starts.setdefault(number, {})[level] = _number(start, 1)
            self._overrides.setdefault(number, {}).update(_levels(override))
        for level, described in self._abstract.get(abstract, _List({})).levels.items():
            if described.style:
                self._by_style.setdefault(described.style, (number, level))

    def of_style(self, style: str) -> tuple[str, int] | None:
        """The number and level of the paragraphs of a style."""
        return self._by_style.get(style)

    def label(self, number: str, level: int) -> str | None:
        """What stands before the next paragraph; empty for a bullet, None for no list."""
        known = self._abstract.get(self._of_number.get(number, ""))
        level = min(max(level, 0), _MAX_LEVEL)
        if known is None:
            return None
        levels = known.levels | self._overrides.get(number, {})
        described = levels.get(level)
        if described is None or described.form in _BULLETS:
            return "" if described is not None and described.form == "bullet" else None
        # A list that says where it starts does so once.
        start = self._starts.get(number, {}).pop(level, None)
        if start is not None or level not in known.counters:
            known.counters[level] = (start if start is not None else described.start) - 1
        known.counters[level] += 1
        for deeper in [n for n in known.counters if n > level]:
            del known.counters[deeper]

        def written(match: re.Match[str]) -> str:
            n = int(match[1]) - 1
            other = levels.get(n, described)
            count = known.counters.get(n, other.start)
            return _written(count, "decimal" if described.legal else other.form)

        return re.sub(r"%([1-9])", written, described.text).strip()


def _levels(element: Element) -> dict[int, Level]:
    levels = {}
    for inner in element:
        if local(inner) == "lvl":
            form = attribute(child(inner, "numFmt"), "val") or "decimal"
            text = attribute(child(inner, "lvlText"), "val") or ""
            start = _number(attribute(child(inner, "start"), "val"), 1)
            style = attribute(child(inner, "pStyle"), "val")
            legal = child(inner, "isLgl") is not None
            levels[_number(attribute(inner, "ilvl"), 0)] = Level(form, text, start, style, legal)
    return levels


def _number(written: str | None, otherwise: int) -> int:
    return int(written) if written and written.isdecimal() and len(written) < 7 else otherwise


def _written(count: int, form: str) -> str:
    match form:
        case "lowerLetter" | "upperLetter":
            letter = chr(97 + (count - 1) % 26) * ((count - 1) // 26 + 1)
            return letter if form == "lowerLetter" else letter.upper()
        case "lowerRoman" | "upperRoman":
            roman = _roman(count)
            return roman.lower() if form == "lowerRoman" else roman
        case "decimalZero":
            return f"{count:02}"
        case "ordinal":
            return f"{count}."
        case _:
            return str(count)


def _roman(count: int) -> str:
    roman = ""
    for value, letters in _ROMAN:
        roman += letters * (count // value)
        count %= value
    return roman
