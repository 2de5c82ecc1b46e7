"""EPUB into Markdown: its chapters in their order."""

import posixpath
from urllib.parse import unquote

from app.errors import DocumentRejected
from app.retrieval.extractors import html
from app.retrieval.extractors.archives import Archive, attribute
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.warnings import DocumentWarning


def extract(content: bytes) -> Extracted:
    """The chapters of the book's spine. Raises `DocumentRejected`."""
    with Archive(content, "EPUB") as archive:
        container = archive.xml("META-INF/container.xml")
        roots = container.iter("{*}rootfile") if container is not None else ()
        path = next((attribute(root, "full-path") or "" for root in roots), "")
        package = archive.xml(path)
        if package is None:
            raise DocumentRejected("is an EPUB without a table of its chapters")
        items = {attribute(item, "id"): attribute(item, "href") for item in package.iter("{*}item")}
        chapters, missing = [], 0
        for reference in package.iter("{*}itemref"):
            href = unquote(items.get(attribute(reference, "idref")) or "")
            chapter = archive.read(
                posixpath.normpath(posixpath.join(posixpath.dirname(path), href))
            )
            if chapter is None:
                missing += 1
            else:
                chapters.append(html.fragment(html.visible(chapter)))
        title = next((t.text for t in package.iter("{*}title") if t.text), None)
    text = "\n\n".join(filter(None, chapters))
    detail = f"{missing} chapters are not in the file"
    warnings = (DocumentWarning("not_read", detail),) if missing else ()
    return Extracted(text + "\n", is_markdown=True, title=title, warnings=warnings)
