"""Text of images, by Tesseract where it is installed.

The confined child starts no program: the service runs Tesseract for it, confined as the child is,
on an image that the child made of a page.
"""

import io
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from app.errors import ChildFailed
from app.retrieval.warnings import DocumentWarning
from app.sandbox import Limits, Program, run_program

PROGRAM: Final = "tesseract"
LANGUAGES: Final = ("ita", "eng", "ind")
MAX_PAGES: Final = 40
MAX_SECONDS: Final = 80.0
"""Of one file, within the time that its reading has: a page takes some three seconds."""
MIN_CONFIDENCE: Final = 70
"""Per cent: below it a page's text is unreadable."""
_MAX_SIDE: Final = 5_000
_MAX_SHOWN: Final = 12
_LIMITS: Final = Limits(time_s=30, cpu_s=30, memory_bytes=1024**3, answer_bytes=4 * 1024**2)


@dataclass(frozen=True, slots=True)
class Recognised:
    """The text of an image, and how sure it is, in per cent."""

    text: str
    confidence: int


if TYPE_CHECKING:
    from PIL import Image


@cache
def languages() -> tuple[str, ...]:
    """Those of ours that Tesseract is installed with; none where it is not there."""
    path = shutil.which(PROGRAM)
    if path is None:
        return ()
    try:
        listed = subprocess.run(  # noqa: S603 - asks the program for its languages
            [path, "--list-langs"], capture_output=True, text=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return ()
    there = set(listed.stdout.split()) | set(listed.stderr.split())
    return tuple(language for language in LANGUAGES if language in there)


def program() -> Program | None:
    """Tesseract with the languages that are installed for it; None where it is not there."""
    path = shutil.which(PROGRAM)
    if path is None or not languages():
        return None
    command = (path, "stdin", "stdout", "-l", "+".join(languages()), "--psm", "3", "tsv")
    return Program(command, _LIMITS)


class Recogniser:
    """Reads the images of one file, within its bounds of pages and seconds."""

    runs = False
    """Whether this process may have Tesseract run: the child in which files are read."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._pages = 0

    def read(self, image: "Image.Image") -> Recognised | None:
        """What Tesseract reads; None where it is not there, fails, or the bounds are reached."""
        self._pages += 1
        is_over = time.monotonic() - self._started > MAX_SECONDS or self._pages > MAX_PAGES
        return None if is_over or not Recogniser.runs else _recognised(image)


def _recognised(image: "Image.Image") -> Recognised | None:
    grey = image.convert("L")
    grey.thumbnail((_MAX_SIDE, _MAX_SIDE))
    file = io.BytesIO()
    grey.save(file, "PNG", compress_level=1)
    try:
        table = run_program(PROGRAM, file.getvalue())
    except ChildFailed:
        return None
    return _of_table(table.decode("utf-8", "replace"))


def _of_table(table: str) -> Recognised:
    """Of Tesseract's table of words: page, block, paragraph, line, …, confidence, word."""
    lines: dict[tuple[str, ...], list[str]] = {}
    confidences: list[float] = []
    for row in table.split("\n")[1:]:
        cells = row.split("\t")
        if len(cells) < 12 or not cells[11].strip():
            continue
        lines.setdefault(tuple(cells[1:5]), []).append(cells[11].strip())
        confidences.append(float(cells[10]))
    text = ""
    block: tuple[str, ...] = ()
    for place, words in lines.items():
        text += ("\n" if block and place[:3] != block else "") + " ".join(words) + "\n"
        block = place[:3]
    return Recognised(text, round(statistics.fmean(confidences)) if confidences else 0)


def recognition_warnings(confidences: dict[int, int | None]) -> tuple[DocumentWarning, ...]:
    """What is to be told of pages without text, by what Tesseract made of each; None: nothing."""
    warnings = []
    unread = [page for page, confidence in confidences.items() if confidence is None]
    if unread:
        detail = "holds no text, only an image"
        warnings.append(DocumentWarning("not_read", detail, pages_named(unread)))
    for page, confidence in confidences.items():
        if confidence is None:
            continue
        where = pages_named([page])
        if confidence < MIN_CONFIDENCE:
            detail = f"is unreadable: its text was recognised with a confidence of {confidence}%"
            warnings.append(DocumentWarning("low_confidence", detail, where))
        else:
            detail = f"its text was recognised in an image, with a confidence of {confidence}%"
            warnings.append(DocumentWarning("recognised", detail, where))
    return tuple(warnings)


def pages_named(numbers: Sequence[int]) -> str:
    """The pages as a place in a warning."""
    shown = ", ".join(map(str, numbers[:_MAX_SHOWN]))
    more = f" and {len(numbers) - _MAX_SHOWN} more" if len(numbers) > _MAX_SHOWN else ""
    return f"page{'s' if len(numbers) > 1 else ''} {shown}{more}"
