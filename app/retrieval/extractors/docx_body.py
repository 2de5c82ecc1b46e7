"""The paragraphs and tables of a DOCX as HTML."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import groupby

from app.retrieval.extractors.archives import Element, attribute, child, local
from app.retrieval.extractors.docx_numbering import Numbering
from app.retrieval.extractors.office_math import linear

_HEADING = re.compile(r"heading (\d)", re.I)
_TITLES = {"title": 1, "subtitle": 2}
# Shown as what they hold, wherever they are.
_WRAPPERS = frozenset(
    ["hyperlink", "smartTag", "ins", "moveTo", "fldSimple", "customXml", "dir", "bdo", "sdtContent"]
)
_NEVER = frozenset(["del", "moveFrom", "Fallback", "instrText", "delText", "rt"])
_SYMBOLS = {"F0FE": "☒", "F0FD": "☒", "F0A8": "☐", "F06F": "☐", "F0FC": "✓", "F0B7": "•"}
_MIN_HALF_POINTS = 5
_OFF = ("0", "false", "off", "none")


@dataclass(frozen=True, slots=True)
class Style:
    """What a paragraph or a run has from its style."""

    level: int | None = None
    hidden: bool = False
    number: tuple[str, int] | None = None


@dataclass(slots=True)
class Body:
    """Writes HTML, and counts what it leaves out.

    `note` gives the HTML of a note by its kind and id, `imported` of a part by its relationship.
    """

    styles: dict[str, Style]
    numbering: Numbering
    note: Callable[[str, str], str]
    imported: Callable[[str], str]
    hidden: list[str] = field(default_factory=list)
    images: int = 0
    _boxes: list[str] = field(default_factory=list)

    def html(self, container: Element) -> str:
        """The blocks in a container, consecutive bullets as one list."""
        parts = []
        for is_item, blocks in groupby(self._blocks(container), key=lambda b: b.startswith("<li>")):
            joined = "".join(blocks)
            parts.append(f"<ul>{joined}</ul>" if is_item else joined)
        return "".join(parts)

    def _blocks(self, container: Element) -> Iterator[str]:
        for element in container:
            match local(element):
                case "p":
                    yield self._paragraph(element)
                    boxes, self._boxes = self._boxes, []
                    yield from boxes
                case "tbl":
                    yield self._table(element)
                case "altChunk":
                    yield self.imported(attribute(element, "id") or "")
                case "AlternateContent":
                    chosen = child(element, "Choice")
                    yield from self._blocks(chosen if chosen is not None else element)
                case (
                    "sdt"
                    | "customXml"
                    | "ins"
                    | "moveTo"
                    | "sdtContent"
                    | "smartTag"
                    | "txbxContent"
                ):
                    yield from self._blocks(element)

    def _paragraph(self, paragraph: Element) -> str:
        properties = child(paragraph, "pPr")
        style_id = attribute(child(properties, "pStyle"), "val") or ""
        style = self.styles.get(style_id, Style())
        text = self._inline(paragraph, style.hidden)
        label = self._label(properties, style, style_id) if text.strip() else None
        level = style.level
        outline = attribute(child(properties, "outlineLvl"), "val")
        if outline and outline.isdecimal() and int(outline) < 6:
            level = int(outline) + 1
        if label:
            text = f"{escape(label)} {text}"
        if level:
            return f"<h{level}>{text}</h{level}>"
        return f"<li>{text}</li>" if label == "" else f"<p>{text}</p>"

    def _label(self, properties: Element | None, style: Style, style_id: str) -> str | None:
        number = child(properties, "numPr")
        inherited = style.number or self.numbering.of_style(style_id)
        number_id = attribute(child(number, "numId"), "val") or (inherited or ("",))[0]
        level = attribute(child(number, "ilvl"), "val")
        if level is None or not level.isdecimal():
            level = str(inherited[1]) if inherited else "0"
        return self.numbering.label(number_id, int(level))

    def _inline(self, element: Element, hidden: bool) -> str:
        runs = list(self._runs(element, hidden))
        parts = []
        for tags, group in groupby(runs, key=lambda run: run[0]):
            text = "".join(text for _, text in group)
            for tag in tags if text.strip() else ():
                text = f"<{tag}>{text}</{tag}>"
            parts.append(text)
        return "".join(parts)

    def _runs(self, element: Element, hidden: bool) -> Iterator[tuple[tuple[str, ...], str]]:
        for inner in element:
            name = local(inner)
            if name == "r":
                yield self._run(inner, hidden)
            elif name in _WRAPPERS or name == "sdt":
                yield from self._runs(inner, hidden)
            elif name in ("oMath", "oMathPara"):
                yield (), f" {escape(linear(inner))} "
            elif name == "AlternateContent":
                chosen = child(inner, "Choice")
                yield from self._runs(chosen if chosen is not None else inner, hidden)

    def _run(self, run: Element, hidden: bool) -> tuple[tuple[str, ...], str]:
        properties = child(run, "rPr")
        text = "".join(self._pieces(run))
        if text.strip() and (hidden or self._is_hidden(run, properties)):
            self.hidden.append(text)
            return (), ""
        raised = attribute(child(properties, "vertAlign"), "val")
        tags = [
            {"superscript": "sup", "subscript": "sub"}.get(raised or ""),
            "s" if _is_on(child(properties, "strike")) else None,
            "b" if _is_on(child(properties, "b")) else None,
        ]
        return tuple(filter(None, tags)), text

    def _pieces(self, run: Element) -> Iterator[str]:
        for piece in run:
            match local(piece):
                case "t":
                    yield escape(piece.text or "")
                case "tab" | "ptab":
                    yield " "
                case "br" | "cr":
                    yield "<br>" if attribute(piece, "type") in (None, "textWrapping") else " "
                case "noBreakHyphen":
                    yield "-"
                case "sym":
                    yield _SYMBOLS.get((attribute(piece, "char") or "").upper(), "")
                case "footnoteReference" | "endnoteReference" as kind:
                    yield self.note(kind.removesuffix("Reference"), attribute(piece, "id") or "")
                case "fldChar":
                    yield _check_box(child(piece, "ffData", "checkBox"))
                case "ruby":
                    yield self._inline(piece, False)
                case "rubyBase":
                    yield self._inline(piece, False)
                case "drawing" | "pict" | "object" | "AlternateContent":
                    self._drawing(piece)

    def _drawing(self, drawing: Element) -> None:
        for element in _visible(drawing):
            match local(element):
                case "txbxContent":
                    boxes, self._boxes = self._boxes, []
                    box = self.html(element)
                    self._boxes = [*boxes, box]
                case "blip" | "imagedata":
                    self.images += 1

    def _is_hidden(self, run: Element, properties: Element | None) -> bool:
        style = self.styles.get(attribute(child(properties, "rStyle"), "val") or "", Style())
        if (
            style.hidden
            or _is_on(child(properties, "vanish"))
            or _is_on(child(properties, "webHidden"))
        ):
            return True
        size = attribute(child(properties, "sz"), "val") or ""
        if size.isdecimal() and int(size) < _MIN_HALF_POINTS:
            return True
        color = attribute(child(properties, "color"), "val") or ""
        return color.upper() == "FFFFFF" and not _is_shaded(run, properties)

    def _table(self, table: Element) -> str:
        above: dict[int, str] = {}
        rows = []
        for row in _within(table, "tr"):
            row_properties = child(row, "trPr")
            if child(row_properties, "del") is not None:
                continue
            before = attribute(child(row_properties, "gridBefore"), "val") or "0"
            cells, column = ["<td></td>"] * min(int(before), 50), int(before)
            tag = "th" if _is_on(child(row_properties, "tblHeader")) else "td"
            for cell in _within(row, "tc"):
                properties = child(cell, "tcPr")
                span = attribute(child(properties, "gridSpan"), "val") or "1"
                width = min(max(int(span), 1), 63) if span.isdecimal() else 1
                merged = child(properties, "vMerge")
                text = self.html(cell)
                if merged is not None and attribute(merged, "val") in (None, "continue"):
                    text = above.get(column, text)
                above[column] = text
                cells.append(f'<{tag} colspan="{width}">{text}</{tag}>')
                column += width
            rows.append(f"<tr>{''.join(cells)}</tr>")
        return f"<table>{''.join(rows)}</table>"


def _within(container: Element, name: str) -> Iterator[Element]:
    """The rows of a table, or the cells of a row, in whatever wraps them."""
    for element in container:
        if local(element) == name:
            yield element
        elif local(element) in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag"):
            yield from _within(element, name)


def _visible(element: Element) -> Iterator[Element]:
    """What is below an element, but below a text box or what is never shown."""
    for inner in element:
        if local(inner) in _NEVER and _has_choice(inner):
            continue
        yield inner
        if local(inner) != "txbxContent":
            yield from _visible(inner)


def _has_choice(element: Element) -> bool:
    return local(element) != "Fallback" or child(element.getparent(), "Choice") is not None


def _is_on(element: Element | None) -> bool:
    return element is not None and attribute(element, "val") not in _OFF


def _is_shaded(run: Element, properties: Element | None) -> bool:
    """Whether white letters may stand on a colour."""
    if child(properties, "highlight") is not None or child(properties, "shd") is not None:
        return True
    for outer in run.iterancestors():
        name = local(outer)
        fill = attribute(child(outer, f"{name}Pr", "shd"), "fill")
        if fill and fill.upper() not in ("AUTO", "FFFFFF"):
            return True
        if name == "tbl" and child(outer, "tblPr", "tblStyle") is not None:
            return True
        if name in ("wsp", "shape", "rect"):
            return True
    return False


def _check_box(box: Element | None) -> str:
    if box is None:
        return ""
    checked = child(box, "checked")
    return "☒ " if _is_on(checked if checked is not None else child(box, "default")) else "☐ "


def styles_of(root: Element | None) -> dict[str, Style]:
    """The styles by their ids, each with what it has from those that it is based on."""
    found = root.iter("{*}style") if root is not None else ()
    elements = {attribute(element, "styleId") or "": element for element in found}
    return {name: _style(name, elements, ()) for name in elements}


def _style(name: str, elements: dict[str, Element], path: Iterable[str]) -> Style:
    element = elements.get(name)
    if element is None or name in path:
        return Style()
    based = attribute(child(element, "basedOn"), "val") or ""
    base = _style(based, elements, (*path, name)) if len(tuple(path)) < 10 else Style()
    called = attribute(child(element, "name"), "val") or ""
    heading = _HEADING.match(called)
    level = min(int(heading[1]), 6) or None if heading else _TITLES.get(called.casefold())
    outline = attribute(child(element, "pPr", "outlineLvl"), "val") or ""
    if level is None and outline.isdecimal() and int(outline) < 6:
        level = int(outline) + 1
    hidden = _is_on(child(element, "rPr", "vanish")) or base.hidden
    number = attribute(child(element, "pPr", "numPr", "numId"), "val")
    depth = attribute(child(element, "pPr", "numPr", "ilvl"), "val") or "0"
    own = (number, int(depth) if depth.isdecimal() else 0) if number else base.number
    return Style(level or base.level, hidden, own)
