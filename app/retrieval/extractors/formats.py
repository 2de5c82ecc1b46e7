"""What a file is: what its name says, against what its first bytes say.

Our own signatures rather than a library's: real folders hold a PDF under a Markdown
title line, which no library of signatures looks for.
"""

import io
import zipfile
from enum import StrEnum
from pathlib import PurePath

from app.errors import DocumentRejected


class Format(StrEnum):
    """The formats that can be read, as a person calls them."""

    MARKDOWN = "Markdown"
    TEXT = "plain text"
    HTML = "HTML"
    PDF = "PDF"
    DOCX = "DOCX"
    CSV = "CSV"
    JSON = "JSON"
    JSONL = "JSON lines"
    MHTML = "MHTML"
    EML = "an e-mail"
    XLSX = "XLSX"
    XLS = "XLS"
    ODS = "ODS"
    PPTX = "PPTX"
    ODT = "ODT"
    ODP = "ODP"
    EPUB = "EPUB"
    YAML = "YAML"
    XML = "XML"
    RTF = "RTF"
    IMAGE = "an image"


SUFFIXES = {
    ".md": Format.MARKDOWN,
    ".txt": Format.TEXT,
    ".markdown": Format.MARKDOWN,
    ".mdx": Format.MARKDOWN,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
    ".mhtml": Format.MHTML,
    ".mht": Format.MHTML,
    ".pdf": Format.PDF,
    ".docx": Format.DOCX,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".json": Format.JSON,
    ".geojson": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".eml": Format.EML,
    ".rtf": Format.RTF,
    ".xlsx": Format.XLSX,
    ".xlsm": Format.XLSX,
    ".xls": Format.XLS,
    ".ods": Format.ODS,
    ".pptx": Format.PPTX,
    ".odt": Format.ODT,
    ".odp": Format.ODP,
    ".epub": Format.EPUB,
    ".yaml": Format.YAML,
    ".yml": Format.YAML,
    ".xml": Format.XML,
    ".png": Format.IMAGE,
    ".jpg": Format.IMAGE,
    ".jpeg": Format.IMAGE,
    ".webp": Format.IMAGE,
    ".tif": Format.IMAGE,
    ".tiff": Format.IMAGE,
}
# What can be told by its first bytes alone: without them it is damaged or something else.
_SIGNED = frozenset(
    [
        *(Format.PDF, Format.DOCX, Format.XLSX, Format.XLS, Format.ODS),
        *(Format.PPTX, Format.ODT, Format.ODP, Format.EPUB, Format.RTF, Format.IMAGE),
    ]
)
# Endings that cannot be read, and what to do.
_REFUSED = {
    ".doc": "is a Word file of before 2007: save it as DOCX",
    ".ppt": "is a PowerPoint file of before 2007: save it as PPTX",
    ".msg": "is a message of Outlook: save it as EML",
    ".zip": "is a zip archive: unpack it, and ingest what is inside",
    ".rar": "is an archive: unpack it, and ingest what is inside",
    ".7z": "is an archive: unpack it, and ingest what is inside",
}
# By the part that each archive has, and by what those of OpenDocument say that they are.
_ARCHIVES = {
    "word/document.xml": Format.DOCX,
    "xl/workbook.xml": Format.XLSX,
    "ppt/presentation.xml": Format.PPTX,
}
_MIME_TYPES = {
    b"application/vnd.oasis.opendocument.text": Format.ODT,
    b"application/vnd.oasis.opendocument.spreadsheet": Format.ODS,
    b"application/vnd.oasis.opendocument.presentation": Format.ODP,
    b"application/epub+zip": Format.EPUB,
}
# What a browser saves under either name.
_PAGES = (Format.HTML, Format.MHTML)

_HEAD = 1024
_OLE = b"\xd0\xcf\x11\xe0"
# What an encrypted DOCX is: the name of the stream that holds it, in such a file.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_WORKBOOK = "Workbook".encode("utf-16-le")
_IMAGES = (b"\x89png\r\n", b"\xff\xd8\xff", b"ii*\0", b"mm\0*")
_HTML = (b"<!doctype html", b"<html")
_UNREADABLE = {
    _OLE: "a Word or Excel file of before 2007",
    b"gif8": "a GIF image",
}


def named_format(name: str) -> Format:
    """What the name says. Raises `DocumentRejected` for a name that says nothing known."""
    suffix = PurePath(name).suffix.lower()
    if suffix in _REFUSED:
        raise DocumentRejected(_REFUSED[suffix])
    if suffix not in SUFFIXES:
        raise DocumentRejected(f"is none of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def format_of(content: bytes, name: str, *, force: bool = False) -> Format:
    """How to read a file; with `force` its bytes are believed rather than its name.

    Raises `DocumentRejected` when the two contradict each other, and for what no
    extractor reads.
    """
    named = named_format(name)
    if not content.strip():
        raise DocumentRejected("is empty")
    found = _found_format(content)
    if found is None and named in _SIGNED:
        raise DocumentRejected(f"is not {named}, as its name says: it is damaged or something else")
    if found in _PAGES and named in _PAGES:
        return found
    if found is None or found is named or force:
        return found or named
    raise DocumentRejected(
        f"is {found}, not {named} as its name says: rename it, or force it to be read as {found}"
    )


def _found_format(content: bytes) -> Format | None:
    head = content[:_HEAD].lower()
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(_OLE) and _ENCRYPTED in content:
        raise DocumentRejected("is encrypted: save it without its password")
    if start.startswith(_OLE) and _WORKBOOK in content:
        return Format.XLS
    for signature, name in _UNREADABLE.items():
        if start.startswith(signature):
            raise DocumentRejected(f"is {name}, which cannot be read: save it as PDF or DOCX")
    if start.startswith(b"{\\rtf"):
        return Format.RTF
    if start.startswith(_IMAGES) or (start.startswith(b"riff") and start[8:12] == b"webp"):
        return Format.IMAGE
    if start.startswith(b"pk\x03\x04"):
        return _format_of_archive(content)
    if start.startswith(_HTML):
        return Format.HTML
    if b"multipart/related" in head and start.startswith((b"from: <saved", b"mime-version:")):
        return Format.MHTML
    return Format.PDF if b"%pdf-" in head else None


def _format_of_archive(content: bytes) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            for part, found in _ARCHIVES.items():
                if part in names:
                    return found
            if "mimetype" in names and archive.getinfo("mimetype").file_size < _HEAD:
                told = archive.read("mimetype").strip()
                if told in _MIME_TYPES:
                    return _MIME_TYPES[told]
    except zipfile.BadZipFile as error:
        raise DocumentRejected("is a damaged zip archive, or DOCX") from error
    raise DocumentRejected("is a zip archive: unpack it, and ingest what is inside")
