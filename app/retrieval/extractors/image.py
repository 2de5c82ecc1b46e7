"""Photographs and scans of documents into text."""

import io

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from app.errors import DocumentRejected
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.normalisation import normalised, with_whole_words
from app.retrieval.extractors.recognition import MIN_CONFIDENCE, Recogniser, recognition_warnings

MAX_PIXELS = 100_000_000

# What decodes images is imported before files are read: nothing can be opened then.
Image.init()


def extract(content: bytes) -> Extracted:
    """The text of an image, or of each page of a TIFF. Raises `DocumentRejected`."""
    try:
        image = Image.open(io.BytesIO(content))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DocumentRejected("is a damaged image, or too large a one") from error
    if image.width * image.height > MAX_PIXELS:
        raise DocumentRejected(
            f"has more than {MAX_PIXELS // 10**6} million pixels: make it smaller"
        )
    recogniser = Recogniser()
    texts: list[str] = []
    confidences: dict[int, int | None] = {}
    for number, frame in enumerate(ImageSequence.Iterator(image), start=1):
        found = recogniser.read(ImageOps.exif_transpose(frame))
        confidences[number] = found.confidence if found else None
        is_read = found is not None and found.confidence >= MIN_CONFIDENCE
        texts.append(with_whole_words(normalised(found.text)) if found and is_read else "")
    if not any(text.strip() for text in texts):
        raise DocumentRejected(
            "is an image in which no text can be read: is Tesseract installed? "
            "`zantara doctor` says so; otherwise scan it again, larger and sharper"
        )
    starts = tuple(sum(map(len, texts[:n])) for n in range(len(texts)))
    warnings = recognition_warnings(confidences)
    return Extracted("".join(texts), is_markdown=False, pages=starts, warnings=warnings)
