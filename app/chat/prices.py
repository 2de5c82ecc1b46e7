"""The price list of the service's own offer: a document of the knowledge base, row by row."""

import re
from dataclasses import dataclass

PRICE_LIST = "service-prices"
"""The id of the document: of `service-prices.csv`, bundled or uploaded in its place."""

_ROW = re.compile(r"\S.*?(?=\n\s*\n|\s*\Z)", re.DOTALL)
_WORD = re.compile(r"\w{2,}")


@dataclass(frozen=True, slots=True)
class PricedRow:
    """A row by its characters in the document's text."""

    start: int
    end: int


def priced_rows(text: str, query: str) -> list[PricedRow]:
    """The rows that hold most of the query's words; all of them for an empty query."""
    words = set(_WORD.findall(query.casefold()))
    rows = [(match, _shared(words, match[0])) for match in _ROW.finditer(text)]
    most = max((shared for _, shared in rows), default=0)
    if words and not most:
        return []
    return [PricedRow(match.start(), match.end()) for match, shared in rows if shared == most]


def _shared(words: set[str], row: str) -> int:
    return len(words & set(_WORD.findall(row.casefold())))
