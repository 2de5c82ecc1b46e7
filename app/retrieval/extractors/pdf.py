"""PDF into text, page by page.

By the places of the characters, which PDFium tells: of what libraries make of them pdf-inspector
(15 of 23 files right) and pdf-oxide (12) join columns and show hidden text.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pypdfium2  # type: ignore[import-untyped]  # the package ships no types
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from app.errors import DocumentRejected
from app.retrieval.extractors.extracted import MAX_CHARACTERS, Extracted
from app.retrieval.extractors.normalisation import normalised, with_whole_words
from app.retrieval.extractors.pdf_characters import PageCharacters, characters_of
from app.retrieval.extractors.pdf_fields import written_on
from app.retrieval.extractors.pdf_layout import CELL, TextLine, text_lines
from app.retrieval.extractors.pdf_rows import Segment
from app.retrieval.extractors.recognition import (
    MIN_CONFIDENCE,
    Recogniser,
    pages_named,
    recognition_warnings,
)
from app.retrieval.warnings import DocumentWarning, WarningKind

MAX_PAGES = 5_000
"""The longest statute with its annexes has some 2,000."""

_MAX_TITLE = 200
# What programs write where nobody gave a title.
_NO_TITLE = re.compile(
    r"\W*(?:untitled|anonymous|unspecified|unknown|senza titolo|tanpa judul|title"
    r"|document\d*|dokumen\d*|microsoft (?:word|excel|powerpoint)\b.*"
    r"|.*\.(?:docx?|xlsx?|pptx?|pdf|indd|qxd|tmp|html?)|\d*)\W*",
    re.I,
)
# What is printed above a regulation's own title.
_MASTHEAD = re.compile(
    r"\b(?:berita|lembaran) (?:negara|daerah)|presiden\b|kementerian|menteri\b|salinan|gazzetta",
    re.I,
)
_WAIT = re.compile(r"please wait\W{1,5}if this message is not eventually replaced", re.I)
_MIN_LETTERS = 25
_MIN_SCAN_SHARE = 0.3
# Three hundred dots an inch.
_SCAN_SCALE = 300 / 72
_MAX_SCAN_SIDE = 5_000
_SCAN_HEIGHT = 10.0
_MARGIN_LINES = 3
_MIN_REPEATED_SHARE = 0.5
_TITLE_HEIGHT = 1.25


@dataclass(slots=True)
class _Read:
    """What was read of the pages: the lines of each, and the pages of which something was not."""

    pages: list[list[TextLine]] = field(default_factory=list)
    scanned: dict[int, int | None] = field(default_factory=dict)
    recogniser: Recogniser = field(default_factory=Recogniser)
    hidden: list[int] = field(default_factory=list)
    differing: list[int] = field(default_factory=list)


def extract(content: bytes) -> Extracted:
    """The text that can be seen. Raises `DocumentRejected` for an encrypted file and for a scan."""
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise DocumentRejected("is encrypted: save it without its password") from error
        raise DocumentRejected("is a damaged PDF") from error
    with document:
        if len(document) > MAX_PAGES:
            raise DocumentRejected(f"has more than {MAX_PAGES} pages: split it")
        document.init_forms()
        read = _read(document)
        title = _title(document, read.pages)
        warnings = (*_warnings(read), *_attachments(document))
    text, starts = _joined(_without_repeated(read.pages))
    if not text.strip():
        raise DocumentRejected(
            "holds no text, only images, in which none can be read: is Tesseract installed? "
            "`zantara doctor` says so; otherwise run a text recognition over it"
        )
    if _WAIT.search(text):
        raise DocumentRejected("is a form that only Adobe Reader shows: print it there to a PDF")
    return Extracted(text, is_markdown=False, title=title, pages=starts, warnings=warnings)


def _read(document: pypdfium2.PdfDocument) -> _Read:
    read = _Read()
    length = 0
    for number, page in enumerate(document, start=1):
        textpage = page.get_textpage()
        try:
            lines = _lines(page, textpage, number, read)
        finally:
            textpage.close()
            page.close()
        read.pages.append(lines)
        length += sum(len(line.text) for line in lines)
        if length > MAX_CHARACTERS:
            break
    return read


def _lines(
    page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage, number: int, read: _Read
) -> list[TextLine]:
    found = characters_of(page, textpage)
    if found.hidden:
        read.hidden.append(number)
    lines = _by_direction(found, list(written_on(page)))
    letters = sum(len(line.text) for line in lines)
    if letters < _MIN_LETTERS and found.image_share > _MIN_SCAN_SHARE:
        return _recognised(page, number, read) or lines
    expected = Counter(c.text for c in found.seen if c.text.isdecimal())
    if expected - _digits(lines):
        read.differing.append(number)
    return lines


def _by_direction(found: PageCharacters, extra: list[Segment]) -> list[TextLine]:
    """The lines of the direction that most of the page has, then those of others."""
    lines: list[TextLine] = []
    most = max(found.turned, key=lambda quarters: len(found.turned[quarters]), default=0)
    for quarters in sorted(found.turned, key=lambda quarters: quarters != most):
        characters = found.turned[quarters]
        if quarters is None:
            lines.append(TextLine("".join(c.text for c in characters), 10.0, True))
        else:
            lines += text_lines(characters, extra if quarters == 0 else ())
    return lines if 0 in found.turned else [*lines, *text_lines([], extra)]


def _recognised(page: pypdfium2.PdfPage, number: int, read: _Read) -> list[TextLine]:
    """The lines that are recognised in the page's image, if they are sure enough."""
    scale = min(_SCAN_SCALE, _MAX_SCAN_SIDE / max(*page.get_size(), 1.0))
    found = None
    if Recogniser.runs:
        found = read.recogniser.read(page.render(scale=scale, grayscale=True).to_pil())
    read.scanned[number] = found.confidence if found else None
    if found is None or found.confidence < MIN_CONFIDENCE:
        return []
    return [TextLine(line, _SCAN_HEIGHT, False) for line in found.text.split("\n")]


def _digits(lines: Sequence[TextLine]) -> Counter[str]:
    plain = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
    return Counter(c for line in lines for c in line.text.translate(plain) if c.isdecimal())


def _without_repeated(pages: list[list[TextLine]]) -> list[list[TextLine]]:
    """Without the headers and footers that most pages have, but for their first."""
    if len(pages) < 3:
        return pages
    counts: Counter[str] = Counter()
    within: set[str] = set()
    for lines in pages:
        margins = _margins(lines)
        counts.update({_shape(line) for line in margins})
        within |= {_shape(line) for line in lines[_MARGIN_LINES:-_MARGIN_LINES]}
    least = _MIN_REPEATED_SHARE * len(pages)
    repeated = {shape for shape, n in counts.items() if n >= least and shape not in within}
    seen: set[str] = set()
    kept = []
    for lines in pages:
        edges = {id(line) for line in _margins(lines)}
        body = []
        for line in lines:
            shape = _shape(line)
            # The names of a table's columns are wanted on each page.
            if id(line) in edges and shape in repeated and CELL not in line.text:
                if shape in seen or not re.search(r"[^\W\d_]{3}", line.text):
                    continue
                seen.add(shape)
            body.append(line)
        kept.append(body)
    return kept


def _margins(lines: Sequence[TextLine]) -> list[TextLine]:
    if len(lines) <= 2 * _MARGIN_LINES:
        half = max(len(lines) // 2, 1)
        return [*lines[:half][:_MARGIN_LINES], *lines[half:][-_MARGIN_LINES:]]
    return [*lines[:_MARGIN_LINES], *lines[-_MARGIN_LINES:]]


def _shape(line: TextLine) -> str:
    """The line with its numbers alike, as those of pages differ."""
    return re.sub(r"\d+", "#", " ".join(line.text.split()))


def _joined(pages: Sequence[Sequence[TextLine]]) -> tuple[str, tuple[int, ...]]:
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for lines in pages:
        text = ""
        for line in lines:
            text += ("\n" if line.follows_gap and text else "") + line.text + "\n"
        text = with_whole_words(normalised(text))
        if parts and _is_broken(parts[-1], text):
            parts[-1] = parts[-1].rstrip()[:-1]
            length = sum(map(len, parts))
        starts.append(length)
        parts.append(text)
        length += len(text)
    return "".join(parts), tuple(starts)


def _is_broken(before: str, text: str) -> bool:
    """Whether a word goes on on the next page."""
    return bool(re.search(r"[^\W\d_]-\s*\Z", before)) and text[:1].islower()


def _title(document: pypdfium2.PdfDocument, pages: Sequence[Sequence[TextLine]]) -> str | None:
    """The title in the file's properties, or else the large lines at its beginning."""
    title = " ".join(normalised(str(document.get_metadata_value("Title") or "")).split())
    if title and not _NO_TITLE.fullmatch(title):
        return title[:_MAX_TITLE]
    heights = sorted(line.height for lines in pages for line in lines)
    if not heights or not pages:
        return None
    usual = heights[len(heights) // 2]
    first = [line for line in pages[0] if line.text.strip()]
    if not first or first[0].height < _TITLE_HEIGHT * usual:
        return None
    large = []
    for line in first[:4]:
        if abs(line.height - first[0].height) > 0.1 * usual:
            break
        large.append(line.text)
    name = " ".join(large)
    return name if len(name) <= _MAX_TITLE and not _MASTHEAD.search(name) else None


def _warnings(read: _Read) -> list[DocumentWarning]:
    kinds: tuple[tuple[WarningKind, list[int], str], ...] = (
        ("hidden_text", read.hidden, "text that cannot be seen is left out"),
        ("figures", read.differing, "figures differ from a second reading"),
    )
    return [
        *recognition_warnings(read.scanned),
        *(
            DocumentWarning(kind, detail, pages_named(numbers))
            for kind, numbers, detail in kinds
            if numbers
        ),
    ]


def _attachments(document: pypdfium2.PdfDocument) -> list[DocumentWarning]:
    count = document.count_attachments()
    detail = f"{count} embedded files are not read"
    return [DocumentWarning("not_read", detail)] if count else []
