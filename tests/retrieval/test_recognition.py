"""Scans and photographs, read in the confined child by a real Tesseract."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image, ImageDraw, ImageFont

from app.errors import DocumentRejected
from app.retrieval.extractors import recognition
from app.retrieval.reader import Reader
from tests.retrieval.extractors import files

needs_tesseract = pytest.mark.skipif(
    not recognition.languages(), reason="Tesseract is not installed"
)
LINES = (
    "Akta pendirian PT Contoh Bahagia",
    "Modal dasar Rp 10.000.000.000",
    "Denpasar, 2 Mei 2025",
)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as reader:
        yield reader


def scan(*lines: str, form: str = "PNG") -> bytes:
    image = Image.new("L", (1600, 400), "white")
    draw = ImageDraw.Draw(image)
    for n, line in enumerate(lines):
        draw.text((60, 40 + 100 * n), line, "black", ImageFont.load_default(48))
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


@needs_tesseract
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "PDF"])
def test_a_scan_is_read_and_its_confidence_told(form: str, reader: Reader) -> None:
    name = f"deed.{form.lower()}"
    prepared = reader.prepare(scan(*LINES, form=form), name)
    assert [line for line in LINES if line not in prepared.loaded.text] == []
    (warning,) = prepared.warnings
    assert (warning.kind, warning.where) == ("recognised", "page 1")
    assert "confidence of 9" in warning.detail


@needs_tesseract
def test_an_image_without_a_text_is_refused(reader: Reader) -> None:
    with pytest.raises(DocumentRejected, match="no text can be read"):
        reader.prepare(scan(), "photo.png")


def test_a_damaged_image_is_refused(reader: Reader) -> None:
    with pytest.raises(DocumentRejected):
        reader.prepare(b"\x89PNG\r\n\x1a\n" + files.pdf("x"), "photo.png")
