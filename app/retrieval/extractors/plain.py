"""Markdown and plain text."""

import re
from bisect import bisect_left
from collections.abc import Callable

from app.retrieval.extractors.encodings import decoded
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.warnings import DocumentWarning

# Each part is tried once a place, so that no text takes time by the square of its length: a short
# file is read in the service's own process.
_CODE = r"(?P<code>^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)|`[^`\n]+`)"
_FLAGS = re.M | re.S | re.I
# Not of the text that is shown: comments of HTML, of Obsidian, of MDX and of link definitions.
_COMMENT = re.compile(
    rf"{_CODE}|(?P<opening><!--|%%|\{{/\*)|^\[(?://|comment|_metadata_[^\]\n]*)\]:[^\n]*$", _FLAGS
)
_COMMENT_END = re.compile(r"(?P<closing>-->|%%|\*/\})")
_CLOSED_BY = {"<!--": "-->", "%%": "%%", "{/*": "*/}"}
_TAG = re.compile(rf"{_CODE}|<(?P<opening>[a-z][a-z0-9]*)\b(?P<attributes>[^<>]*)>", _FLAGS)
_TAG_END = re.compile(r"</(?P<closing>[a-z][a-z0-9]*)\s*>", re.I)
_UNSEEN = frozenset(["script", "style", "template"])
_UNSEEN_BY = re.compile(
    r"\bhidden\b|display\s*:\s*none|visibility\s*:\s*hidden"
    r"|(?:font-size|opacity)\s*:\s*0(?![.\d]*[1-9])",
    re.I,
)
_SETEXT = re.compile(
    r"(?:(?<=\n\n)|\A)(?P<name>(?![#>|+*-]|\d+\.)\S[^\n|]*)\n(?P<line>=+|-{3,})[ \t]*$", re.M
)
_WIKI_LINK = re.compile(r"!?\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]+)\]\]")
_HIGHLIGHT = re.compile(r"(?<![=\w])==(?=\S)([^=\n]+)(?<=\S)==(?![=\w])")
_LINE_BREAK = re.compile(r"<br\s*/?>", re.I)


def extract_markdown(content: bytes) -> Extracted:
    """The file's own text."""
    text, warnings = decoded(content)
    return Extracted(text, is_markdown=True, warnings=warnings)


def extract_text(content: bytes) -> Extracted:
    """The file's own text."""
    text, warnings = decoded(content)
    return Extracted(text, is_markdown=False, warnings=warnings)


def visible_markdown(text: str) -> tuple[str, tuple[DocumentWarning, ...]]:
    """Markdown without its comments and hidden elements, with ATX headings and plain links.

    What was left out is counted in a warning.
    """
    text, comments = _without(text, _COMMENT, _COMMENT_END, _comment_end)
    text, elements = _without(text, _TAG, _TAG_END, _element_end)
    # Filled up with spaces: what follows keeps its place in the file.
    text = _SETEXT.sub(
        lambda m: f"{'#' if m['line'][0] == '=' else '##'} {m['name']}".ljust(len(m[0])), text
    )
    text = _HIGHLIGHT.sub(r"\1", _WIKI_LINK.sub(r"\1", text))
    text = _LINE_BREAK.sub(lambda m: " " * len(m[0]), text)
    hidden = comments + elements
    if not hidden:
        return text, ()
    detail = f"{hidden} comments or hidden elements are left out"
    return text, (DocumentWarning("hidden_text", detail),)


def _comment_end(match: re.Match[str]) -> str | None:
    """What ends the comment that begins there; "" where it is whole."""
    return _CLOSED_BY[match["opening"]] if match["opening"] else ""


def _element_end(match: re.Match[str]) -> str | None:
    """The name of the element that begins there, None where it is shown."""
    name = match["opening"].lower()
    return name if name in _UNSEEN or _UNSEEN_BY.search(match["attributes"]) else None


def _without(
    text: str,
    opening: re.Pattern[str],
    closing: re.Pattern[str],
    ended_by: Callable[[re.Match[str]], str | None],
) -> tuple[str, int]:
    """The text without what is hidden from an opening to its closing, and how often it is."""
    ends: dict[str, list[tuple[int, int]]] = {}
    for end in closing.finditer(text):
        ends.setdefault(end["closing"].lower(), []).append(end.span())
    kept: list[str] = []
    start = at = 0
    while match := opening.search(text, at):
        at = match.end()
        name = None if match["code"] else ended_by(match)
        if name is None:
            continue
        if name:
            closings = ends.get(name, [])
            nearest = bisect_left(closings, (at, at))
            if nearest == len(closings):
                continue
            at = closings[nearest][1]
        kept.append(text[start : match.start()])
        start = at
    return "".join([*kept, text[start:]]), len(kept)
