"""Text into passages of about a thousand characters, none across a heading."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from app.events import ChunkKind

# The measurements in docs were taken at about 1,000 characters; that is some 230
# tokens, well inside the embedder's window of 512.
MAX_CHARACTERS = 1_000

_MARKDOWN = MarkdownSplitter(MAX_CHARACTERS)
_TEXT = TextSplitter(MAX_CHARACTERS)
_LINE = re.compile(
    r"^(?P<fence> {0,3}(?:`{3,}|~{3,}))|^ {0,3}(?P<marks>#{1,6})[ \t]+(?P<text>.*)$", re.M
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `document_text[start:end] == text`, under the headings of `section`."""

    section: str
    start: int
    end: int
    text: str
    page: int | None = None
    kind: ChunkKind = "body"

    @property
    def embedded_text(self) -> str:
        """What the embedder sees: where the passage stands, then the passage."""
        return f"{self.section}\n{self.text}"


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    text: str
    start: int
    end: int


def chunk_markdown(text: str, title: str, body_start: int = 0) -> list[Chunk]:
    """Cut Markdown into passages, in order, from `body_start` on.

    Offsets are characters of `text`. A heading whose only content is deeper
    headings gets no passage of its own: it stands in their section.
    """
    return [
        chunk
        for section, start, end in _sections(text, title, body_start)
        for chunk in _cut(_MARKDOWN, text, section, start, end)
    ]


def chunk_text(text: str, title: str, body_start: int = 0) -> list[Chunk]:
    """Cut plain text into passages, in order; the title is every passage's section."""
    return list(_cut(_TEXT, text, title, body_start, len(text)))


def first_heading(text: str) -> str | None:
    """The text of the first Markdown heading."""
    return next((heading.text for heading in _headings(text, 0)), None)


def _cut(
    splitter: MarkdownSplitter | TextSplitter, text: str, section: str, start: int, end: int
) -> Iterator[Chunk]:
    for offset, piece in splitter.chunk_indices(text[start:end]):
        yield Chunk(section, start + offset, start + offset + len(piece), piece)


def _sections(text: str, title: str, body_start: int) -> Iterator[tuple[str, int, int]]:
    headings = list(_headings(text, body_start))
    yield title, body_start, headings[0].start if headings else len(text)
    path: list[_Heading] = []
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


def _headings(text: str, body_start: int) -> Iterator[_Heading]:
    """ATX headings outside fenced code, where `# make` is a comment and no heading."""
    fence = ""
    for match in _LINE.finditer(text, body_start):
        if match["fence"]:
            marker = match["fence"].strip()
            if not fence:
                fence = marker
            elif marker.startswith(fence):
                fence = ""
        elif not fence:
            name = match["text"].strip().rstrip("#").strip()
            if name:
                yield _Heading(len(match["marks"]), name, match.start(), match.end())
