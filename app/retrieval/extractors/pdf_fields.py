"""What is written into a PDF's fields and on top of its pages: form values and annotations."""

import ctypes
from collections.abc import Iterator

import pypdfium2  # type: ignore[import-untyped]  # the package ships no types
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from app.retrieval.extractors.pdf_rows import Segment

_MAX_ANNOTATIONS = 2_000
_MAX_BYTES = 200_000
_HIDDEN = 2 | 32  # of an annotation's flags: hidden, not to be viewed
_NOTES = (
    pdfium.FPDF_ANNOT_TEXT,
    pdfium.FPDF_ANNOT_FREETEXT,
    pdfium.FPDF_ANNOT_STAMP,
    pdfium.FPDF_ANNOT_HIGHLIGHT,
    pdfium.FPDF_ANNOT_UNDERLINE,
    pdfium.FPDF_ANNOT_SQUIGGLY,
    pdfium.FPDF_ANNOT_STRIKEOUT,
    pdfium.FPDF_ANNOT_CARET,
    pdfium.FPDF_ANNOT_SQUARE,
    pdfium.FPDF_ANNOT_CIRCLE,
)
_BOXES = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
_NO_VALUES = (pdfium.FPDF_FORMFIELD_PUSHBUTTON, pdfium.FPDF_FORMFIELD_SIGNATURE)


def written_on(page: pypdfium2.PdfPage) -> Iterator[Segment]:
    """The values of the page's fields and the texts of its annotations, each in its place."""
    form = page.formenv.raw if page.formenv else None
    count = pdfium.FPDFPage_GetAnnotCount(page)
    for index in range(min(count, _MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
                continue
            text = _text(annotation, form)
            if text:
                yield _in_place(annotation, text)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _text(annotation: object, form: object) -> str:
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind in _NOTES:
        return _string(lambda *to: pdfium.FPDFAnnot_GetStringValue(annotation, b"Contents", *to))
    if kind != pdfium.FPDF_ANNOT_WIDGET or not form:
        return ""
    field = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if field in _BOXES:
        return "☒" if pdfium.FPDFAnnot_IsChecked(form, annotation) else "☐"
    if field in _NO_VALUES:
        return ""
    return _string(lambda *to: pdfium.FPDFAnnot_GetFormFieldValue(form, annotation, *to))


def _string(get: "ctypes._FuncPointer | object") -> str:
    assert callable(get)
    length = min(get(None, 0), _MAX_BYTES)
    if length <= 2:
        return ""
    buffer = ctypes.create_string_buffer(length)
    get(ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), length)
    return " ".join(buffer.raw.decode("utf-16-le", "replace").rstrip("\0").split())


def _in_place(annotation: object, text: str) -> Segment:
    box = pdfium.FS_RECTF()
    pdfium.FPDFAnnot_GetRect(annotation, box)
    height = min(max(box.top - box.bottom, 1.0), 14.0)
    # A line is written in the middle of a low field, at the top of a high one.
    middle = (box.top + box.bottom) / 2
    baseline = middle - height / 4 if box.top - box.bottom < 30 else box.top - height
    return Segment(text, box.left, box.right, baseline, height)
