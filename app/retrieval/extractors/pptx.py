"""PPTX into Markdown: a section a slide."""

import posixpath
import re
from collections.abc import Iterator
from html import escape

from app.errors import DocumentRejected
from app.retrieval.extractors import html
from app.retrieval.extractors.archives import Archive, Element, attribute, local, title_of
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.warnings import DocumentWarning

_TITLES = ("title", "ctrTitle")
_FRAME = ("sldNum", "dt", "ftr", "hdr")


def extract(content: bytes) -> Extracted:
    """The slides that are shown, with their tables and notes. Raises `DocumentRejected`."""
    with Archive(content, "PPTX") as archive:
        slides = list(_slides(archive))
        shown = [(path, root) for path, root in slides if attribute(root, "show") != "0"]
        parts = [_slide(archive, n, *slide) for n, slide in enumerate(shown, start=1)]
        title = title_of(archive)
    if not parts:
        raise DocumentRejected("has no slides that are shown")
    hidden = len(slides) - len(shown)
    detail = f"{hidden} hidden slides are left out"
    warnings = (DocumentWarning("hidden_text", detail),) if hidden else ()
    text = html.fragment(f"<body>{''.join(parts)}</body>")
    return Extracted(text + "\n", is_markdown=True, title=title, warnings=warnings)


def _slides(archive: Archive) -> Iterator[tuple[str, Element]]:
    targets = _targets(archive, "ppt/presentation.xml")
    root = archive.xml("ppt/presentation.xml")
    for slide in root.iter("{*}sldId") if root is not None else ():
        relationship = next((v for n, v in slide.attrib.items() if str(n).endswith("}id")), "")
        path = targets.get(str(relationship), "")
        slide_root = archive.xml(path)
        if slide_root is not None:
            yield path, slide_root


def _targets(archive: Archive, part: str) -> dict[str, str]:
    folder, name = posixpath.split(part)
    root = archive.xml(f"{folder}/_rels/{name}.rels")
    return {
        attribute(e, "Id") or "": posixpath.normpath(
            posixpath.join(folder, attribute(e, "Target") or "")
        ).lstrip("/")
        for e in (root if root is not None else ())
    }


def _slide(archive: Archive, number: int, path: str, root: Element) -> str:
    title, body = f"Slide {number}", []
    for shape in root.iter("{*}sp", "{*}graphicFrame"):
        kind = next((attribute(e, "type") or "" for e in shape.iter("{*}ph")), "")
        if kind in _FRAME:
            continue
        table = next(shape.iter("{*}tbl"), None)
        lines = [escape(line) for line in _lines(shape)]
        if table is not None:
            body.append(_table(table))
        elif kind in _TITLES and lines:
            title += f": {' '.join(lines)}"
        else:
            body += [f"<p>{line}</p>" for line in lines]
    for target in _targets(archive, path).values():
        notes = archive.xml(target) if re.search(r"notesSlide\d+\.xml$", target) else None
        for shape in notes.iter("{*}sp") if notes is not None else ():
            if any(attribute(e, "type") == "body" for e in shape.iter("{*}ph")):
                body += [f"<p>{escape(line)}</p>" for line in _lines(shape)]
    return f"<h2>{title}</h2>{''.join(body)}"


def _lines(element: Element) -> Iterator[str]:
    for paragraph in element.iter("{*}p"):
        pieces = (
            (piece.text or "") if local(piece) == "t" else " "
            for piece in paragraph.iter("{*}t", "{*}br", "{*}tab")
        )
        if line := "".join(pieces).strip():
            yield line


def _table(table: Element) -> str:
    rows: list[list[str]] = []
    for row in table.iter("{*}tr"):
        cells: list[str] = []
        for cell in (c for c in row if local(c) == "tc"):
            text = " ".join(_lines(cell))
            if attribute(cell, "hMerge") == "1" and cells:
                text = cells[-1]
            elif attribute(cell, "vMerge") == "1" and rows and len(cells) < len(rows[-1]):
                text = rows[-1][len(cells)]
            cells.append(text)
        rows.append(cells)
    written = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in written)}</table>"
