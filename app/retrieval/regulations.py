"""Which Indonesian regulation a text is, what its name says it is, and how far it reaches."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from app.events import Jurisdiction

# A regulation's own heading stands on its first page or two.
_HEAD_CHARACTERS = 6_000
_TITLE_CHARACTERS = 200
# Of "Peraturan Bupati ini": one may be a quotation.
_MIN_SELF = 2

_LAWS = (
    r"(?:uu|pp|perp+u|perpres|keppres|permen[a-z]*|kepmen[a-z]*|pmk|perda|perbup|perwa(?:li|ko)|pergub"
    r"|undang-undang|peraturan [a-z ]{4,60}?|keputusan [a-z ]{4,60}?)"
)
_DECLARED = re.compile(
    rf"(?<![a-z]){_LAWS}[ _-]*(?:(?:nomor|no\.?)[ _-]*)?(?P<number>\d{{1,3}})"
    r"(?:[ _/:-]|[ _-]*tahun[ _-]*){1,3}(?P<year>(?:19|20)\d\d)(?!\d)",
    re.I,
)
# In capitals, as the heading is: a citation in the text is not.
_HEADING = re.compile(
    r"(?:UNDANG\W{0,3}UNDANG|PERATURAN|KEPUTUSAN|QANUN)[A-Z\s,.()/-]{0,150}?"
    r"\bN[O0]M[O0]R\s*:?\s*(?P<number>\d{1,3})\s*TAHUN\s*:?\s*(?P<year>(?:19|20)\d\d)\s+TENTANG\b"
)

_NUMBER_AND_YEAR = re.compile(
    r"\b(?P<number>\d{1,3})\s*TAHUN\s*:?\s*(?P<year>(?:19|20)\d\d)\b", re.I
)
# What a regulation calls itself, "Dalam Peraturan Bupati ini yang dimaksud dengan", tells
# it surest: headings are what OCR and converters lose first.
_REGIONAL_SELF = re.compile(
    r"\b(?:Peraturan|Keputusan)\s+(?:Daerah|Bupati|Wali\s?[Kk]ota|Gubernur|Desa)\s+ini\b|\bQanun\s+ini\b"
)
_NATIONAL_SELF = re.compile(
    r"\b(?:Undang-?\s?[Uu]ndang|(?:Peraturan|Keputusan)\s+(?:Pemerintah|Presiden|Menteri|Badan|Lembaga"
    r"|Bank|Kepala\s+Badan))\s+ini\b"
)
# Headings come letter-spaced as well: W A L I K O T A.
_REGIONAL_HEADING = re.compile(
    r"PERATURAN(?:DAERAH|BUPATI|WALIKOTA|GUBERNUR|DESA)|(?:LEMBARAN|BERITA)DAERAH|QANUN"
    r"|BUPATI|WALIKOTA|GUBERNUR"
)
_NATIONAL_HEADING = re.compile(
    r"UNDANG\W?UNDANG(?:REPUBLIK|NOMOR)|PRESIDENREPU|(?:LEMBARAN|BERITA)NEGARA"
    r"|(?:PERATURAN|KEPUTUSAN)(?:PEMERINTAH|PRESIDEN|MENTERI|BADAN|LEMBAGA|BANK)|MENTERI"
)


@dataclass(frozen=True, slots=True)
class Citation:
    """A regulation by its number and year; as text, as it is cited."""

    number: int
    year: int

    def __str__(self) -> str:
        return f"{self.number}/{self.year}"


def contradiction(name: str, title: str, text: str) -> str | None:
    """What a text declared as one regulation is instead; None when nothing contradicts.

    A file's name and its title declare it, its own heading says what it is. Where they name
    several, one that amends or compares them is among them.
    """
    head = text[:_HEAD_CHARACTERS]
    headings = [m for m in _HEADING.finditer(head) if _is_own(head, m.start())]
    called = (PurePath(name).stem, title[:_TITLE_CHARACTERS])
    declared = [_citation(match) for text in called for match in _DECLARED.finditer(text)]
    if any(_citation(heading) in declared for heading in headings):
        return None
    # A consolidated text is headed by the law it amends and names its own below.
    named = {_citation(match) for match in _NUMBER_AND_YEAR.finditer(head)}
    wrong = next((citation for citation in declared if citation not in named), None)
    if not headings or not wrong:
        return None
    return f"is called {wrong}, but its text is headed {_citation(headings[0])}"


def jurisdiction(text: str) -> Jurisdiction | None:
    """How far the regulation reaches that this text is; None when it is none."""
    regional = len(_REGIONAL_SELF.findall(text))
    national = len(_NATIONAL_SELF.findall(text))
    if max(regional, national) >= _MIN_SELF and regional != national:
        return "regional" if regional > national else "national"
    head = "".join(text[:_HEAD_CHARACTERS].split())
    first_regional = _REGIONAL_HEADING.search(head)
    first_national = _NATIONAL_HEADING.search(head)
    if not first_regional:
        return "national" if first_national else None
    if first_national and first_national.start() < first_regional.start():
        return "national"
    return "regional"


def _is_own(text: str, heading: int) -> bool:
    """Whether the heading is the text's own, not that of a law which it amends or quotes."""
    before = text[max(0, heading - 40) : heading]
    words = before.split()
    if words[-1:] == ["ATAS"]:
        return words[-2:] == ["PENJELASAN", "ATAS"]
    # A heading follows capitals or nothing: a colon or small letters lead to a quotation.
    line = before.rsplit("\n", 1)[-1].strip()
    return not line.endswith((":", "“", '"', "«")) and not re.search(r"[a-z]{3,}\W*$", line)


def _citation(match: re.Match[str]) -> Citation:
    return Citation(int(match["number"]), int(match["year"]))
