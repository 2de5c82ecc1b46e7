"""Text as it is kept, whatever it was read from: done once, before anything is counted."""

import re
import unicodedata

import ftfy

from app.retrieval.warnings import DocumentWarning

# Soft hyphens, characters of no width, of direction, and tags, which only a machine reads.
_INVISIBLE = re.compile(
    r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
# Joiners are a part of words in other scripts.
_JOINERS = re.compile(r"(?<=[\x00-\u024f])[\u200c\u200d]|[\u200c\u200d](?=[\x00-\u024f])")
_SPACES = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_LIGATURES = re.compile(r"[\ufb00-\ufb06]")
_BREAK = re.compile(r"(?<=[^\W\d_])[-\u2010\u2011]\n[ \t]*(?=[^\W\d_])")
# Tried once a word and never given back: a word of 60,000 characters takes no longer than others.
_WHOLE = r"(?<![^\W\d_])[^\W\d_]++"
_HALVES = re.compile(rf"({_WHOLE})-\n([^\W\d_]++)")
_WORD = re.compile(_WHOLE)
_COMPOUND = re.compile(rf"{_WHOLE}(?=(-[^\W\d_]++))")
# First halves that keep their hyphen wherever the line ends.
_PREFIXES = frozenset(
    [
        "non",
        "self",
        "ex",
        "pre",
        "post",
        "anti",
        "semi",
        "sub",
        "multi",
        "e",
        "in",
        "on",
        "off",
        "up",
        "eks",
        "pra",
        "pasca",
    ]
)
_MIN_ECHO = 3


def normalised(text: str) -> str:
    """In NFC with LF line ends, without what has no width; every space is a plain one."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text
    text = _JOINERS.sub("", _INVISIBLE.sub("", text))
    unassigned = [c for c in set(text) if c > "\x7f" and unicodedata.category(c) == "Cn"]
    text = text.translate(dict.fromkeys(map(ord, unassigned)))
    text = _LIGATURES.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text))


def repaired(text: str) -> tuple[str, tuple[DocumentWarning, ...]]:
    """Without mojibake, and a warning where there was some."""
    if text.isascii() or not ftfy.badness.is_bad(text):
        return text, ()
    lines = text.split("\n")
    sound = [ftfy.fix_encoding(line) if ftfy.badness.is_bad(line) else line for line in lines]
    changed = [n for n, (old, new) in enumerate(zip(lines, sound, strict=True), 1) if old != new]
    if not changed:
        return text, ()
    detail = f"characters that were decoded wrongly before were repaired in {len(changed)} lines"
    return "\n".join(sound), (DocumentWarning("encoding", detail, f"line {changed[0]}"),)


def with_whole_words(text: str) -> str:
    """Join words that the end of a line broke in two; compounds and reduplications keep theirs."""
    text = _BREAK.sub("-\n", text)
    if not _HALVES.search(text):
        return text
    elsewhere = _HALVES.sub(" ", text).casefold()
    words = set(_WORD.findall(elsewhere))
    compounds = {match[0] + match[1] for match in _COMPOUND.finditer(elsewhere)}

    def join(match: re.Match[str]) -> str:
        before, after = match[1], match[2]
        first, second = before.casefold(), after.casefold()
        separate = f"{first}-{second}" in compounds or (first in words and second in words)
        keeps = separate or _is_compound(before, after)
        joined = first + second in words or not keeps
        return before + after if joined else f"{before}-{after}"

    return _HALVES.sub(join, text)


def _is_compound(before: str, after: str) -> bool:
    if after[0].isupper():
        return True
    first, second = before.casefold(), after.casefold()
    # undang-undang, perundang-undangan, sebaik-baiknya
    echoes = any(
        first.endswith(second[:length])
        for length in range(_MIN_ECHO, len(second) + 1)
        if length > _MIN_ECHO or length >= 0.6 * len(second)
    )
    return echoes or first in _PREFIXES
