"""Files into text with a title, a language and what their front matter says."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath

from app.errors import DocumentRejected
from app.retrieval import front_matter
from app.retrieval.chunking import first_heading
from app.retrieval.extractors import extract
from app.retrieval.extractors.formats import Format, format_of
from app.retrieval.extractors.normalisation import with_whole_words
from app.retrieval.extractors.plain import visible_markdown
from app.retrieval.front_matter import FrontMatter
from app.retrieval.language import document_language
from app.retrieval.options import IngestOptions
from app.retrieval.warnings import DocumentWarning

# A part of every content hash: raise it when loading or chunking changes, and the
# next ingest replaces what the old code made. Vectors of unchanged chunks are kept.
_PIPELINE = b"7"

_MAX_TITLE = 300


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file's text in NFC with LF line ends; what is to be indexed begins at `body_start`.

    `pages` holds where each page begins, in characters; none where there are no pages.
    """

    title: str
    language: str
    text: str
    body_start: int
    file_format: Format
    is_markdown: bool
    uri: str | None
    source: str | None
    effective_date: str | None
    checked: str | None
    supersedes: str | None = None
    pages: tuple[int, ...] = ()
    warnings: tuple[DocumentWarning, ...] = ()


def content_hash(content: bytes, options: IngestOptions) -> str:
    """Changes when the file does, what was said of it, or the code that loads and cuts it."""
    return sha256(b"\0".join((_PIPELINE, options.said, content))).hexdigest()


def parse(content: bytes, name: str, *, force: bool = False) -> LoadedFile:
    """The file of that name; with `force` its bytes are believed rather than its name.

    Raises `DocumentRejected` with a line that says why it cannot be indexed, and on
    hostile bytes whatever a format's library raises: `Preparation` contains both.
    """
    file_format = format_of(content, name, force=force)
    extracted = extract(content, file_format)
    text = extracted.text
    is_plain = file_format in (Format.MARKDOWN, Format.TEXT)
    declared = front_matter.read(text) if is_plain else FrontMatter()
    body, warnings = text[declared.length :], extracted.warnings + declared.warnings
    if is_plain:
        body, hidden = _visible(body, file_format)
        text, warnings = text[: declared.length] + body, warnings + hidden
    if not body.strip():
        raise DocumentRejected("is empty")
    heading = first_heading(body) if extracted.is_markdown else None
    # One record's name is not the name of all: JSON goes by its file's.
    if file_format in (Format.JSON, Format.JSONL):
        heading = None
    return LoadedFile(
        title=(declared.title or heading or extracted.title or PurePath(name).stem)[:_MAX_TITLE],
        language=declared.language or document_language(body),
        text=text,
        body_start=declared.length,
        file_format=file_format,
        is_markdown=extracted.is_markdown,
        uri=declared.uri,
        source=declared.source,
        effective_date=declared.effective_date,
        checked=declared.checked,
        supersedes=declared.supersedes,
        pages=extracted.pages,
        warnings=warnings,
    )


def _visible(body: str, file_format: Format) -> tuple[str, tuple[DocumentWarning, ...]]:
    warnings: tuple[DocumentWarning, ...] = ()
    if file_format is Format.MARKDOWN:
        body, warnings = visible_markdown(body)
    return with_whole_words(body), warnings
