"""A bound on how deeply the elements of HTML are nested, before a tree is made of them.

What walks a tree of elements takes time by its depth for each of them.
"""

from collections.abc import Mapping
from contextlib import suppress

from lxml import etree  # type: ignore[import-untyped]  # the package ships no types

from app.errors import DocumentRejected

MAX_DEPTH = 1_000
"""Pages of real sites have some thirty levels, old ones with unclosed tags a few hundred."""
_CHUNK = 65_536


def check_nesting(html: str) -> None:
    """Raise `DocumentRejected` for elements that are nested more than `MAX_DEPTH` deep."""
    target = _Depth()
    parser = etree.HTMLParser(target=target, recover=True)
    try:
        for start in range(0, len(html), _CHUNK):
            parser.feed(html[start : start + _CHUNK])
            if target.too_deep:
                raise DocumentRejected(f"has elements nested more than {MAX_DEPTH:,} deep")
    finally:
        with suppress(etree.XMLSyntaxError):  # a page without any element
            parser.close()


class _Depth:
    """Receives the parser's events, and keeps none."""

    def __init__(self) -> None:
        self.too_deep = False
        self._depth = 0

    def start(self, _tag: str, _attributes: Mapping[str, str]) -> None:
        self._depth += 1
        self.too_deep |= self._depth > MAX_DEPTH

    def end(self, _tag: str) -> None:
        self._depth -= 1

    def close(self) -> None: ...
