"""Dates as people write them in English, Italian and Indonesian."""

import re
from datetime import date, datetime

_MONTHS = (
    "january jan gennaio gen januari",
    "february feb febbraio febr februari peb",
    "march mar marzo maret mrt",
    "april apr aprile",
    "may mei maggio mag",
    "june jun giugno giu juni",
    "july jul luglio lug juli",
    "august aug agosto ago agustus agu agt",
    "september sep sept settembre set",
    "october oct ottobre ott oktober okt",
    "november nov novembre nopember nop",
    "december dec dicembre dic desember des",
)
_NUMBER_OF = {name: n for n, names in enumerate(_MONTHS, 1) for name in names.split()}
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4})")
_MONTH_AND_YEAR = re.compile(r"(\d{1,2})[-/.](\d{4})")
_NAMED = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th|[°º])?\.?[ -](?:of )?)?([a-z]+)[.,]{0,2}[ -](\d{4})"
)
_NAMED_FIRST = re.compile(r"([a-z]+)\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
# As in: dal 2 ottobre 2025 (in vigore).
_AROUND = re.compile(
    r"^(?:(?:in vigore|vigente|valido|efficace|in force|effective|valid|berlaku|efektif)\s+)?"
    r"(?:il|dal|dall['’]|a partire dal|from|since|as of|on|sejak|mulai|per|tanggal|tgl\.?)\s*(?=\S)"
    r"|\s*\([^)]*\)$"
)
_WEEKDAY = re.compile(
    r"^(?:[^\W\d_]+,\s*|(?:\w+day|luned[iì]|marted[iì]|mercoled[iì]|gioved[iì]|venerd[iì]"
    r"|sabato|domenica|senin|selasa|rabu|kamis|jum['’]?at|sabtu|minggu|ahad)\s+)(?=\d)"
)


def written_date(text: str) -> str | None:
    """The date as ISO; None where it is none. A month or a year alone means its first day.

    Of `02/10/2025` the day comes first, as in Italy and Indonesia, unless it can only be a month.
    """
    line = " ".join(text.casefold().split())
    line = _WEEKDAY.sub("", _AROUND.sub("", _AROUND.sub("", line)))
    try:
        return datetime.fromisoformat(line.upper()).date().isoformat()
    except ValueError:
        pass
    try:
        return _date(line)
    except ValueError:
        return None


def _date(line: str) -> str | None:
    if match := _YEAR_FIRST.fullmatch(line):
        return date(int(match[1]), int(match[2]), int(match[3] or 1)).isoformat()
    if match := _DAY_FIRST.fullmatch(line):
        day, month = int(match[1]), int(match[2])
        if month > 12 >= day:
            day, month = month, day
        return date(int(match[3]), month, day).isoformat()
    if match := _MONTH_AND_YEAR.fullmatch(line):
        return date(int(match[2]), int(match[1]), 1).isoformat()
    if (match := _NAMED.fullmatch(line)) and match[2] in _NUMBER_OF:
        return date(int(match[3]), _NUMBER_OF[match[2]], int(match[1] or 1)).isoformat()
    if (match := _NAMED_FIRST.fullmatch(line)) and match[1] in _NUMBER_OF:
        return date(int(match[3]), _NUMBER_OF[match[1]], int(match[2])).isoformat()
    if re.fullmatch(r"(?:19|20)\d\d", line):
        return f"{line}-01-01"
    return None
