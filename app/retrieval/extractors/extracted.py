"""What every extractor returns."""

from dataclasses import dataclass

from app.retrieval.warnings import DocumentWarning

MAX_CHARACTERS = 20_000_000
"""Ten thousand pages; a small file can unpack to any size."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A file's text in NFC with LF line ends.

    `pages` holds where each page begins, in characters of `text`; none where the
    format has no pages. `title` is what the file itself calls its text.
    """

    text: str
    is_markdown: bool
    title: str | None = None
    pages: tuple[int, ...] = ()
    warnings: tuple[DocumentWarning, ...] = ()
