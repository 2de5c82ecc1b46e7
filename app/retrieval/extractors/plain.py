"""Markdown and plain text."""

import re

from app.retrieval.extractors.encodings import decoded
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.warnings import DocumentWarning

# Not of the text that is shown: comments of HTML, of Obsidian, of MDX and of link definitions.
_CODE = r"(?P<code>^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)|`[^`\n]+`)"
_COMMENT = re.compile(
    rf"{_CODE}|<!--.*?-->|%%.*?%%|\{{/\*.*?\*/\}}"
    r"|^\[(?://|comment|_metadata_[^\]\n]*)\]:[^\n]*$",
    re.M | re.S | re.I,
)
_UNSEEN = re.compile(
    rf"{_CODE}|<(?P<unseen>script|style|template)\b[^>]*>.*?</(?P=unseen)\s*>"
    r"|<(?P<tag>[a-z][a-z0-9]*)\b[^>]*?(?:\bhidden\b|display\s*:\s*none|visibility\s*:\s*hidden"
    r"|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9]))[^>]*>.*?</(?P=tag)\s*>",
    re.M | re.S | re.I,
)
_SETEXT = re.compile(
    r"(?:(?<=\n\n)|\A)(?P<name>(?![#>|+*-]|\d+\.)\S[^\n|]*)\n(?P<line>=+|-{3,})[ \t]*$", re.M
)
_WIKI_LINK = re.compile(r"!?\[\[(?:[^\]|\n]*\|)?([^\]|\n]+)\]\]")
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
    hidden: list[str] = []

    def without(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        hidden.append(match[0])
        return ""

    text = _UNSEEN.sub(without, _COMMENT.sub(without, text))
    # Filled up with spaces: what follows keeps its place in the file.
    text = _SETEXT.sub(
        lambda m: f"{'#' if m['line'][0] == '=' else '##'} {m['name']}".ljust(len(m[0])), text
    )
    text = _HIGHLIGHT.sub(r"\1", _WIKI_LINK.sub(r"\1", text))
    text = _LINE_BREAK.sub(lambda m: " " * len(m[0]), text)
    if not hidden:
        return text, ()
    detail = f"{len(hidden)} comments or hidden elements are left out"
    return text, (DocumentWarning("hidden_text", detail),)
