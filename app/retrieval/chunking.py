"""Text into passages of about a thousand characters, none across a heading.

Headings are Markdown's, and a statute's chapters and articles.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from app.events import ChunkKind
from app.retrieval.statutes import Heading, explanation_start, statute_headings

# The measurements in docs were taken at about 1,000 characters; that is some 230
# tokens, well inside the embedder's window of 512.
MAX_CHARACTERS = 1_000
# The end of a section, when shorter than this, stays with what it ends.
MIN_TAIL = 200

_MARKDOWN = MarkdownSplitter(MAX_CHARACTERS)
_TEXT = TextSplitter(MAX_CHARACTERS)
# Converters join lines: of the corpus's guides one in five holds `… --- ### **KBLI 56101 …`.
_HEADING = re.compile(
    r"^(?P<fence> {0,3}(?:`{3,}|~{3,}))"
    r"|^ {0,3}(?P<marks>#{1,6})[ \t]+(?P<line>.*)$"
    r"|(?<=[^\s#])[ \t]+(?P<inline>(?P<inline_marks>#{2,6})[ \t]+(?P<rest>.*)$)",
    re.M,
)
# Where a heading ends when the text goes on in its line.
_NAME = re.compile(r"\*\*(?P<bold>[^*]+)\*\*|(?P<plain>.+?)(?= \*\*| > | \||\s#{2,6} | -{3}|$)")
_MAX_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `document_text[start:end] == text`, under the headings of `section`."""

    section: str
    start: int
    end: int
    text: str
    page: int | None = None
    kind: ChunkKind = "body"
    last_page: int | None = None

    @property
    def embedded_text(self) -> str:
        """What the embedder sees: where the passage stands, then the passage."""
        return f"{self.section}\n{self.text}"


def chunk_markdown(text: str, title: str, body_start: int = 0) -> list[Chunk]:
    """Cut Markdown into passages, in order, from `body_start` on.

    Offsets are characters of `text`. A heading whose only content is deeper
    headings gets no passage of its own: it stands in their section.
    """
    headings = [*_headings(text, body_start), *statute_headings(text, body_start)]
    return list(_chunks(_MARKDOWN, text, title, body_start, headings))


def chunk_text(text: str, title: str, body_start: int = 0) -> list[Chunk]:
    """Cut plain text into passages, in order; of headings only a statute's are known."""
    headings = statute_headings(text, body_start)
    return list(_chunks(_TEXT, text, title, body_start, headings))


def first_heading(text: str) -> str | None:
    """The text of the first Markdown heading."""
    return next((heading.text for heading in _headings(text, 0)), None)


def _chunks(
    splitter: MarkdownSplitter | TextSplitter,
    text: str,
    title: str,
    body_start: int,
    headings: Iterable[Heading],
) -> Iterator[Chunk]:
    in_order = sorted(headings, key=lambda heading: heading.start)
    explained_from = explanation_start(text, body_start)
    for section, start, end in _sections(text, title, body_start, in_order):
        kind: ChunkKind = "body" if start < explained_from else "explanation"
        for first, last in _spans(splitter, text[start:end]):
            passage = text[start + first : start + last]
            yield Chunk(section, start + first, start + last, passage, kind=kind)


def _spans(splitter: MarkdownSplitter | TextSplitter, text: str) -> list[tuple[int, int]]:
    spans = [(first, first + len(piece)) for first, piece in splitter.chunk_indices(text)]
    if len(spans) > 1 and all(line.startswith("#") for line in _lines(text, spans[0])):
        # A heading alone answers nothing.
        spans[:2] = [(spans[0][0], spans[1][1])]
    if len(spans) > 1 and spans[-1][1] - spans[-1][0] < MIN_TAIL:
        (first, _), (_, last) = spans[-2:]
        spans[-2:] = [(first, last)]
    return spans


def _lines(text: str, span: tuple[int, int]) -> Iterator[str]:
    return filter(str.strip, text[slice(*span)].split("\n"))


def _sections(
    text: str, title: str, body_start: int, headings: Sequence[Heading]
) -> Iterator[tuple[str, int, int]]:
    yield title, body_start, headings[0].start if headings else len(text)
    path: list[Heading] = []
    for i, heading in enumerate(headings):
        following = headings[i + 1] if i + 1 < len(headings) else None
        end = following.start if following else len(text)
        path = [*(h for h in path if h.level < heading.level), heading]
        body_is_empty = not text[heading.end : end].strip()
        if body_is_empty and following and following.level > heading.level:
            continue
        yield _section_path(title, [h.text for h in path]), heading.start, end


def _section_path(title: str, headings: list[str]) -> str:
    names = headings if headings[0] == title else [title, *headings]
    return " > ".join(names)


def _headings(text: str, body_start: int) -> Iterator[Heading]:
    """ATX headings outside fenced code, where `# make` is a comment and no heading."""
    fence = ""
    position = body_start
    while match := _HEADING.search(text, position):
        position = match.end()
        if match["fence"]:
            marker = match["fence"].strip()
            if not fence:
                fence = marker
            elif marker.startswith(fence):
                fence = ""
            continue
        kind, marks = ("rest", "inline_marks") if match["inline"] else ("line", "marks")
        name, length = _name(match[kind])
        # A second heading may stand in the same line.
        position = match.start(kind) + length
        if name and not fence:
            yield Heading(len(match[marks]), name, match.start(marks), position)


def _name(rest: str) -> tuple[str, int]:
    """A heading's name at the start of the rest of its line, and its length there."""
    match = _NAME.match(rest)
    if not match:
        return "", len(rest)
    name = (match["bold"] or match["plain"]).strip().rstrip("#").strip()
    if len(name) > _MAX_NAME_CHARACTERS:
        name = name[:_MAX_NAME_CHARACTERS].rsplit(maxsplit=1)[0]
    return name, match.end()
