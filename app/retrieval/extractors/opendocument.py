"""ODT and ODP into Markdown, by way of HTML."""

from collections.abc import Iterator
from html import escape

from app.errors import DocumentRejected
from app.retrieval.extractors import html
from app.retrieval.extractors.archives import Archive, Element, attribute, local
from app.retrieval.extractors.extracted import Extracted

_SKIPPED = frozenset(["tracked-changes", "sequence-decls", "forms", "annotation", "settings"])
_MAX_REPEATED = 200


def extract(content: bytes) -> Extracted:
    """Headings, paragraphs, lists, tables, notes and slides. Raises `DocumentRejected`."""
    with Archive(content, "OpenDocument") as archive:
        root = archive.xml("content.xml")
        if root is None:
            raise DocumentRejected("is an OpenDocument file without a text")
        meta = archive.xml("meta.xml")
    body = next(root.iter("{*}body"), root)
    titles = meta.iter("{*}title") if meta is not None else ()
    title = next((t.text for t in titles if t.text), None)
    text = html.fragment(f"<body>{_blocks(body)}</body>")
    return Extracted(text + "\n", is_markdown=True, title=title)


def _blocks(container: Element) -> str:
    return "".join(_block(element) for element in container if local(element) not in _SKIPPED)


def _block(element: Element) -> str:
    match local(element):
        case "h":
            level = attribute(element, "outline-level") or "1"
            depth = min(max(int(level), 1), 6) if level.isdecimal() else 1
            return f"<h{depth}>{_inline(element)}</h{depth}>"
        case "p":
            boxes = "".join(_blocks(box) for box in element.iter("{*}text-box"))
            return f"<p>{_inline(element)}</p>{boxes}"
        case "list":
            return f"<ul>{_blocks(element)}</ul>"
        case "list-item" | "list-header":
            return f"<li>{_blocks(element)}</li>"
        case "table":
            return f"<table>{''.join(_rows(element))}</table>"
        case "page":
            return f"<h2>{escape(attribute(element, 'name') or '')}</h2>{_blocks(element)}"
        case _:
            return _blocks(element)


def _inline(element: Element) -> str:
    parts = [escape(element.text or "")]
    for inner in element:
        match local(inner):
            case "s" | "tab":
                parts.append(" ")
            case "line-break":
                parts.append("<br>")
            case "note":
                body = next(inner.iter("{*}note-body"), None)
                text = " ".join(_inline(p) for p in body) if body is not None else ""
                parts.append(f" (note: {text})")
            case "frame" | "annotation" | "tracked-changes" | "text-box" | "":
                pass
            case _:
                parts.append(_inline(inner))
        parts.append(escape(inner.tail or ""))
    return "".join(parts)


def _rows(table: Element) -> Iterator[str]:
    for row in table.iter("{*}table-row"):
        cells = "".join(_cells(row))
        tag = "thead" if local(row.getparent()) == "table-header-rows" else "tbody"
        yield f"<{tag}><tr>{cells}</tr></{tag}>"


def _cells(row: Element) -> Iterator[str]:
    for cell in row:
        if local(cell) != "table-cell":
            continue
        spans = [
            f'{name}="{attribute(cell, f"number-{word}-spanned")}"'
            for name, word in (("colspan", "columns"), ("rowspan", "rows"))
            if attribute(cell, f"number-{word}-spanned")
        ]
        repeated = attribute(cell, "number-columns-repeated") or "1"
        count = min(int(repeated), _MAX_REPEATED) if repeated.isdecimal() else 1
        yield f"<td {' '.join(spans)}>{_blocks(cell)}</td>" * count
