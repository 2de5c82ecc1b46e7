"""The formats of pictures and videos that are taken, known by a file's first bytes."""

from enum import StrEnum
from typing import Final

from app.errors import MediaRejected


class MediaFormat(StrEnum):
    """A format, by the one name that its decoder is given."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    MP4 = "mov"
    """QuickTime is the same format, which MP4 was made from."""
    MATROSKA = "matroska"
    """WebM is a part of it."""

    @property
    def is_video(self) -> bool:
        """Whether it is one of videos."""
        return self in (MediaFormat.MP4, MediaFormat.MATROSKA)


_PICTURES: Final = {
    b"\xff\xd8\xff": MediaFormat.JPEG,
    b"\x89PNG\r\n\x1a\n": MediaFormat.PNG,
    b"GIF87a": MediaFormat.GIF,
    b"GIF89a": MediaFormat.GIF,
}
_BRANDS: Final = frozenset(
    # Of MP4, as phones, browsers and cameras write it; HEIC and AVIF have other ones.
    b"isom iso2 iso3 iso4 iso5 iso6 iso7 iso8 iso9 mp41 mp42 mp71 avc1 dash MSNV 3gp4 3gp5".split()
) | {b"M4V ", b"M4VH", b"M4VP", b"qt  "}
_FIRST_ATOMS: Final = (b"moov", b"mdat", b"wide", b"free", b"skip")
"""Of QuickTime before it named its brand."""
_EBML: Final = b"\x1aE\xdf\xa3"
_DOC_TYPES: Final = (b"\x42\x82\x84webm", b"\x42\x82\x88matroska")
_HEAD_BYTES: Final = 64

EXPECTED: Final = "a PNG, JPEG, GIF or WebP picture nor an MP4, QuickTime, WebM or Matroska video"


def format_of(content: bytes) -> MediaFormat:
    """What a file is, whatever it is called. Raises `MediaRejected` for all other formats."""
    head = content[:_HEAD_BYTES]
    for first, picture in _PICTURES.items():
        if head.startswith(first):
            return picture
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return MediaFormat.WEBP
    atom = head[4:8]
    if (atom == b"ftyp" and head[8:12] in _BRANDS) or atom in _FIRST_ATOMS:
        return MediaFormat.MP4
    if head.startswith(_EBML) and any(doc_type in head for doc_type in _DOC_TYPES):
        return MediaFormat.MATROSKA
    raise MediaRejected(f"is neither {EXPECTED}")
