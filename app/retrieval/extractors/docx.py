"""DOCX into Markdown, by way of HTML."""

import io
import zipfile
from dataclasses import replace

import mammoth  # type: ignore[import-untyped]  # the package ships no types

from app.errors import DocumentRejected
from app.retrieval.extractors import html
from app.retrieval.extractors.extracted import Extracted

MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_MEMBERS = 5_000

_DECLARATIONS = ["<!DOCTYPE".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be")]
_STYLES = "p[style-name='Title'] => h1:fresh"


def extract(content: bytes) -> Extracted:
    """Text, headings, lists and tables; images are left out. Raises `DocumentRejected`."""
    _check_archive(content)
    result = mammoth.convert_to_html(
        io.BytesIO(content),
        style_map=_STYLES,
        convert_image=mammoth.images.img_element(lambda _: {"src": ""}),
    )
    return replace(html.extract(result.value), title=None)


def _check_archive(file: bytes) -> None:
    """Refuse a bomb before any of it is unpacked, and what no writer puts into DOCX."""
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_UNPACKED_BYTES:
            raise DocumentRejected(
                f"unpacks to more than {MAX_UNPACKED_BYTES // 1024**2} MB "
                f"or {MAX_MEMBERS} parts: save it without its images"
            )
        for member in members:
            # A declared size that lies ends the reading there, or fails its checksum. A part may
            # be read as XML whatever its name is.
            content = archive.read(member)
            if any(declaration in content for declaration in _DECLARATIONS):
                raise DocumentRejected("declares XML entities, which no DOCX needs")
