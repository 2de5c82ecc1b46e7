"""PDF into text, page by page."""

import pypdfium2  # type: ignore[import-untyped]  # the package ships no types
from pypdfium2.raw import FPDF_ERR_PASSWORD  # type: ignore[import-untyped]

from app.errors import DocumentRejected
from app.retrieval.extractors.extracted import MAX_CHARACTERS, Extracted
from app.retrieval.extractors.normalisation import normalised

MAX_PAGES = 5_000
"""The longest statute with its annexes has some 2,000."""


def extract(content: bytes) -> Extracted:
    """The text layer. Raises `DocumentRejected` for an encrypted file and for a scan."""
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if error.err_code == FPDF_ERR_PASSWORD:
            raise DocumentRejected("is encrypted: save it without its password") from error
        raise DocumentRejected("is a damaged PDF") from error
    with document:
        if len(document) > MAX_PAGES:
            raise DocumentRejected(f"has more than {MAX_PAGES} pages: split it")
        return _joined(document)


def _joined(document: pypdfium2.PdfDocument) -> Extracted:
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for page in document:
        text = _text_of(page)
        starts.append(length)
        parts.append(text)
        length += len(text)
        if length > MAX_CHARACTERS:
            break
    text = "".join(parts)
    if not text.strip():
        raise DocumentRejected("holds no text, only images: run a text recognition over it")
    return Extracted(text, is_markdown=False, pages=tuple(starts))


def _text_of(page: pypdfium2.PdfPage) -> str:
    textpage = page.get_textpage()
    try:
        # PDFium writes a hyphen at a line's end as U+0002 and joins the lines; the words
        # of our documents that are broken there (undang-undang) have the hyphen anyway.
        return normalised(textpage.get_text_bounded()).replace("\x02", "-") + "\n"
    finally:
        textpage.close()
        page.close()
