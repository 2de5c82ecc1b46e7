"""The characters of a PDF's page with their places, and which of them can be seen."""

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pypdfium2  # type: ignore[import-untyped]  # the package ships no types
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

_INVISIBLE_MODES = (pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP)
_WHITE = 248
_MIN_HEIGHT = 2.0
_SCAN_SHARE = 0.5
_HYPHEN = 2
_MAX_OBJECTS = 20_000
_QUARTER = math.pi / 2
_STRAIGHT = math.radians(5)


@dataclass(frozen=True, slots=True)
class Character:
    """A character on its baseline, in points from the page's lower left corner."""

    text: str
    left: float
    right: float
    baseline: float
    height: float


@dataclass(slots=True)
class PageCharacters:
    """What can be seen of a page's text, in the order of the file.

    `turned` holds it by the quarters by which it is turned, each as if it were upright; None is
    for text that is oblique. `hidden` is the text that cannot be seen, `image_share` the part of
    the page that its largest image covers.
    """

    turned: dict[int | None, list[Character]] = field(default_factory=dict)
    hidden: str = ""
    image_share: float = 0.0

    @property
    def seen(self) -> list[Character]:
        """The characters of all directions."""
        return [character for characters in self.turned.values() for character in characters]


Box = tuple[float, float, float, float]


def characters_of(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage) -> PageCharacters:
    """Read the characters of a page."""
    visible = page.get_cropbox()
    images, shapes = _painted(page)
    area = max((visible[2] - visible[0]) * (visible[3] - visible[1]), 1.0)
    found = PageCharacters(image_share=max((_area(box) / area for box in images), default=0.0))
    # The text of a recognised scan lies unseen behind its image.
    is_scan = found.image_share > _SCAN_SHARE
    grounds = [*images, *shapes]
    hidden: list[str] = []
    count = pdfium.FPDFText_CountChars(textpage)
    looks: dict[int, bool] = {}
    last, last_drawn = Character("", 0.0, 0.0, 0.0, 0.0), (-1, 0.0, 0.0)
    box, x, y = pdfium.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    for index in range(count):
        code = pdfium.FPDFText_GetUnicode(textpage, index)
        if code == 0 or (code < 32 and code != _HYPHEN) or 0xD800 <= code <= 0xDFFF:
            continue
        if pdfium.FPDFText_IsGenerated(textpage, index) == 1:
            continue
        pdfium.FPDFText_GetLooseCharBox(textpage, index, box)
        pdfium.FPDFText_GetCharOrigin(textpage, index, x, y)
        text = "-" if code == _HYPHEN else chr(code)
        character = Character(text, box.left, box.right, y.value, box.top - box.bottom)
        thing = pdfium.FPDFText_GetTextObject(textpage, index)
        key = ctypes.cast(thing, ctypes.c_void_p).value or 0
        drawn = (key, box.left, box.right)
        if drawn == last_drawn:
            # Letters that a font draws as one have the same place; a bold one is drawn again.
            character = replace(character, left=(last.left + last.right) / 2)
        last, last_drawn = character, drawn
        if key not in looks:
            looks[key] = _is_painted(thing, is_scan)
        if text.strip() and not _is_seen(character, visible, grounds, looks[key]):
            hidden.append(text)
        else:
            angle = pdfium.FPDFText_GetCharAngle(textpage, index)
            quarters = _quarters(angle)
            upright = character if not quarters else _upright(character, box, x.value, quarters)
            found.turned.setdefault(quarters, []).append(upright)
    found.hidden = "".join(hidden)
    return found


def _quarters(angle: float) -> int | None:
    quarters = round(angle / _QUARTER)
    return quarters % 4 if abs(angle - quarters * _QUARTER) < _STRAIGHT else None


def _upright(character: Character, box: pdfium.FS_RECTF, x: float, quarters: int) -> Character:
    """The character where it is when the page is turned so that it stands."""
    y = character.baseline
    match quarters:
        case 1:
            left, right, baseline = -box.top, -box.bottom, x
        case 2:
            left, right, baseline = -box.right, -box.left, -y
        case _:
            left, right, baseline = box.bottom, box.top, -x
    height = character.height if quarters == 2 else box.right - box.left
    return Character(character.text, left, right, baseline, height)


def _is_painted(thing: object, is_scan: bool) -> bool:
    """Whether a piece of text is drawn in a colour other than white."""
    if not thing:
        return True
    mode = pdfium.FPDFTextObj_GetTextRenderMode(thing)
    if mode in _INVISIBLE_MODES:
        return is_scan
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    stroked = mode in (pdfium.FPDF_TEXTRENDERMODE_STROKE, pdfium.FPDF_TEXTRENDERMODE_STROKE_CLIP)
    get_colour = pdfium.FPDFPageObj_GetStrokeColor if stroked else pdfium.FPDFPageObj_GetFillColor
    if not get_colour(thing, red, green, blue, alpha):
        return True
    return alpha.value > 0 and min(red.value, green.value, blue.value) < _WHITE


def _is_seen(character: Character, page: Box, grounds: list[Box], is_painted: bool) -> bool:
    middle = (character.left + character.right) / 2
    line = character.baseline + character.height / 4
    if not (page[0] <= middle <= page[2] and page[1] <= line <= page[3]):
        return False
    if character.height < _MIN_HEIGHT:
        return False
    # White letters are seen on a coloured ground.
    return is_painted or any(b[0] <= middle <= b[2] and b[1] <= line <= b[3] for b in grounds)


def _painted(page: pypdfium2.PdfPage) -> tuple[list[Box], list[Box]]:
    """Where the page has images, and shapes that are filled with a colour."""
    images, shapes = [], []
    for n, thing in enumerate(_objects(page)):
        if n > _MAX_OBJECTS:
            break
        kind = pdfium.FPDFPageObj_GetType(thing)
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            images.append(_bounds(thing))
        elif kind == pdfium.FPDF_PAGEOBJ_SHADING or (
            kind == pdfium.FPDF_PAGEOBJ_PATH and _is_filled(thing)
        ):
            shapes.append(_bounds(thing))
    return images, shapes


def _objects(page: pypdfium2.PdfPage) -> Iterator[object]:
    return (thing.raw for thing in page.get_objects(max_depth=3))


def _is_filled(path: object) -> bool:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDFPath_GetDrawMode(path, fill, stroke)
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    pdfium.FPDFPageObj_GetFillColor(path, red, green, blue, alpha)
    return bool(fill.value) and alpha.value > 0 and min(red.value, green.value, blue.value) < _WHITE


def _bounds(thing: object) -> Box:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium.FPDFPageObj_GetBounds(thing, left, bottom, right, top)
    return left.value, bottom.value, right.value, top.value


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
