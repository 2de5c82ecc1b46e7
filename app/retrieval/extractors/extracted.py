"""What every extractor hands on, and the text that all of them share."""

import re
import unicodedata
from dataclasses import dataclass

from app.errors import DocumentRejected

MAX_CHARACTERS = 20_000_000
"""Ten thousand pages; a small file can unpack to any size."""

_CONTROL = re.compile(r"[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f]")
# 18 in 15,000 characters is the most that a sound text of the corpus holds;
# a PDF saved under a heading has one in ten.
_MAX_CONTROL_SHARE = 0.01


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


def decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 with its mark, as normalised text. Raises `DocumentRejected`."""
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentRejected(
            f"is not UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from error
    text = normalised(text)
    if "\0" in text or len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text):
        raise DocumentRejected("holds binary data")
    return text


def normalised(text: str) -> str:
    """In NFC with LF line ends."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
