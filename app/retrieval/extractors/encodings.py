"""Bytes into text, in whatever encoding they are."""

import codecs
import re
import unicodedata

import charset_normalizer

from app.errors import DocumentRejected
from app.retrieval.warnings import DocumentWarning

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 64 * 1024
# What Windows, a Mac of before 2001 and DOS write in the languages of Western Europe, then those
# of Central Europe: of two that fit as well, the first.
_EUROPEAN = ("cp1252", "mac_roman", "cp850", "cp1250", "iso8859_2")
_WITHIN_WORDS = frozenset("’–—·\u00ad")
_PUNCTUATION = frozenset("€£“”‘’«»„–—…•·°ºª§©®™¿¡´ \u00ad¹²³½¼×")
# Letters of other alphabets fill whole words, those of Western Europe stand among plain ones.
_MAX_WESTERN_SHARE = 0.3
# A file of UTF-8 into which something else was pasted, or one that was cut.
_MAX_STRAY_SHARE = 0.1

_STRAY = re.compile(r"[\udc80-\udcff]")
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f]")
# 18 in 15,000 characters is the most that a sound text of the corpus holds;
# a PDF saved under a heading has one in ten.
_MAX_CONTROL_SHARE = 0.01


def decoded(content: bytes, declared: str | None = None) -> tuple[str, tuple[DocumentWarning, ...]]:
    """The text, and a warning where its encoding had to be guessed.

    `declared` is the encoding that the file says it has: believed where it is not UTF-8 that
    the bytes are. Raises `DocumentRejected` for binary data.
    """
    mark = next((name for bom, name in _MARKS if content.startswith(bom)), None)
    encoding = mark or _wide(content)
    warnings: tuple[DocumentWarning, ...] = ()
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        text, name = _guessed(content, declared)
        warnings = (DocumentWarning("encoding", f"is not UTF-8: read as {name}"),)
    if "\0" in text or len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text):
        raise DocumentRejected("holds binary data")
    return text, warnings


def _wide(content: bytes) -> str | None:
    """UTF-16 without its mark: every second byte of most texts is zero."""
    sample = content[: _SAMPLE & ~1]
    half = len(sample) // 2
    if half < 2 or len(content) % 2:
        return None
    if sample[1::2].count(0) > 0.8 * half and not sample[::2].count(0):
        return "utf-16-le"
    if sample[::2].count(0) > 0.8 * half and not sample[1::2].count(0):
        return "utf-16-be"
    return None


def _guessed(content: bytes, declared: str | None) -> tuple[str, str]:
    text = content.decode("utf-8", "surrogateescape")
    high = sum(byte > 0x7F for byte in content)
    if len(_STRAY.findall(text)) <= _MAX_STRAY_SHARE * high:
        return _STRAY.sub(_stray, text), "UTF-8, with some bytes of Windows-1252"
    european = max(_EUROPEAN, key=lambda name: _fitness(content[:_SAMPLE], name))
    if declared and not _is_western(declared):
        try:
            return content.decode(declared), declared
        except (UnicodeDecodeError, LookupError):
            pass
    letters = sum(chr(byte).isalpha() for byte in content[:_SAMPLE] if byte < 0x80)
    high = sum(byte > 0x7F for byte in content[:_SAMPLE])
    if high <= _MAX_WESTERN_SHARE * (letters + high) and _fitness(content[:_SAMPLE], european) > 0:
        return content.decode(european, "replace"), european
    best = charset_normalizer.from_bytes(content[:_SAMPLE]).best()
    name = best.encoding if best else european
    return content.decode(name, "replace"), name


def _stray(match: re.Match[str]) -> str:
    return bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace")


def _is_western(name: str) -> bool:
    try:
        return codecs.lookup(name).name in ("iso8859-1", "cp1252", "ascii", "utf-8")
    except LookupError:
        return True


def _fitness(sample: bytes, encoding: str) -> int:
    """How many characters beyond ASCII make sense where they are, less those that do not."""
    text = sample.decode(encoding, "replace")
    fitness = 0
    for before, character, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if character < "\x80":
            continue
        lower = unicodedata.category(character) == "Ll"
        # A capital after a small letter is another encoding's small one.
        upper = unicodedata.category(character) == "Lu" and not before.islower()
        fits = lower or upper or character in _PUNCTUATION
        # As in spó³ki: no sign stands within a word but those that are a letter's other reading.
        within = before.islower() and after.islower() and not character.isalpha()
        fitness += 1 if fits and not (within and character not in _WITHIN_WORDS) else -1
        # Quotation marks do not stand within words, where letters of another encoding do.
        fitness -= character in "‚„ˆ‰Š…—" and before.islower()
    return fitness
