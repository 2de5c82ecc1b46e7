"""HTML into Markdown: what a reader of the page sees, without its frame."""

import re
from typing import Any

from bs4 import BeautifulSoup, Comment, Tag
from markdownify import MarkdownConverter

from app.errors import DocumentRejected
from app.retrieval.extractors import grids, saved_pages
from app.retrieval.extractors.encodings import decoded
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.html_visibility import without_frame, without_unseen
from app.retrieval.extractors.nesting import check_nesting
from app.retrieval.extractors.normalisation import normalised
from app.retrieval.extractors.raised import subscript, superscript
from app.retrieval.warnings import DocumentWarning

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{3,20})", re.I)
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
# A figure of which a part is bold stays one.
_BROKEN_FIGURE = re.compile(
    r"(?:(?<=\d)|(?<=\d[.,]))\*\*([.,]?\d[\d.,]*)\*\*|\*\*(\d[\d.,]*)\*\*(?=[.,]?\d)"
)
_MIN_CONTENT_SHARE = 0.5
_MAX_SPAN = 1_000
_MAX_CELLS = 200_000
# A cell of this much text is a part of the page's layout.
_MAX_CELL_CHARACTERS = 1_500


def extract(content: bytes | str) -> Extracted:
    """The content of a page."""
    warnings: tuple[DocumentWarning, ...] = ()
    if isinstance(content, bytes):
        content = saved_pages.page_of(content)
        declared = _CHARSET.search(content[:4096])
        content, warnings = decoded(content, declared[1].decode() if declared else None)
    page = _parsed(content)
    title = normalised(page.title.get_text(" ", strip=True)) if page.title else ""
    comments = page.find_all(string=lambda text: isinstance(text, Comment))
    had_script = page.find("script") is not None
    hidden = without_unseen(page) + sum(len(str(comment).split()) > 2 for comment in comments)
    if hidden:
        detail = f"{hidden} comments or hidden elements are left out"
        warnings += (DocumentWarning("hidden_text", detail),)
    if page.title:
        page.title.decompose()
    without_frame(page)
    text = _markdown(_content(page))
    if not text and had_script:
        raise DocumentRejected(
            "is empty: its text is made by scripts in a browser; save it there as PDF or MHTML"
        )
    return Extracted(text + "\n", True, title or None, warnings=warnings)


def fragment(content: str) -> str:
    """The Markdown of HTML that stands in another file, all of it that can be seen."""
    page = _parsed(content)
    without_unseen(page)
    return _markdown(page)


def visible(content: bytes) -> str:
    """The HTML of a page that stands in another file, without what cannot be seen."""
    declared = _CHARSET.search(content[:4096])
    text, _ = decoded(saved_pages.page_of(content), declared[1].decode() if declared else None)
    page = _parsed(text)
    without_unseen(page)
    body = page.body
    return body.decode_contents() if body else ""


def _parsed(html: str) -> BeautifulSoup:
    check_nesting(html)
    return BeautifulSoup(html, "lxml")


def _content(page: BeautifulSoup) -> Tag:
    """The part that holds most of the page's text, if it is marked as such."""
    body = page.body or page
    whole = len(body.get_text(strip=True))
    for part in (page.select_one("main, [role='main']"), _only_article(page)):
        if part and len(part.get_text(strip=True)) >= _MIN_CONTENT_SHARE * whole:
            title = body.find("h1")
            if isinstance(title, Tag) and not part.find("h1"):
                part.insert(0, title.extract())
            return part
    return body


def _only_article(page: BeautifulSoup) -> Tag | None:
    """The page's article, with those in it; none where there are several."""
    outermost = page.select("article:not(article article)")
    return outermost[0] if len(outermost) == 1 else None


class _Converter(MarkdownConverter):
    """Superscripts and subscripts never join the number before them."""

    def convert_sup(self, el: Tag, text: str, parent_tags: Any) -> str:  # noqa: ARG002
        mark = text.strip()
        return superscript(_text_before(el), mark) if mark else text

    def convert_mfrac(self, el: Tag, text: str, parent_tags: Any) -> str:  # noqa: ARG002
        return "({})/({})".format(*_operands(el))

    def convert_msup(self, el: Tag, text: str, parent_tags: Any) -> str:  # noqa: ARG002
        return "{}^{}".format(*_operands(el))

    def convert_msub(self, el: Tag, text: str, parent_tags: Any) -> str:  # noqa: ARG002
        return "{}_{}".format(*_operands(el))

    def convert_span(self, el: Tag, text: str, parent_tags: Any) -> str:  # noqa: ARG002
        """Spans that a style sheet sets apart: no word or figure goes on from one to the next."""
        before = el.previous_sibling
        apart = isinstance(before, Tag) and _is_styled(before) and _is_styled(el)
        joined = apart and _text_before(el)[-1:].isalnum() and text[:1].isdigit()
        return f" {text}" if joined else text

    def convert_sub(self, el: Tag, text: str, parent_tags: Any) -> str:  # noqa: ARG002
        return subscript(text.strip())


def _operands(element: Tag) -> list[str]:
    parts = [part.get_text("", strip=True) for part in element.find_all(True, recursive=False)]
    return [*parts, "", ""][:2]


def _is_styled(element: Tag) -> bool:
    return element.name == "span" and (element.has_attr("class") or element.has_attr("style"))


def _text_before(element: Tag) -> str:
    before = element.previous_sibling
    return before.get_text() if before is not None else ""


_CONVERTER = _Converter(
    heading_style="ATX",
    bullets="-",
    table_infer_header=True,
    strip=["a", "img"],
    escape_asterisks=False,
    escape_underscores=False,
    escape_misc=False,
)


def _markdown(part: Tag) -> str:
    tables = _tables_taken_out(part)
    text = normalised(_CONVERTER.convert_soup(part))
    # Those within others first were taken out first: put back in the contrary order.
    for mark, table in reversed(tables):
        text = text.replace(mark, f"\n\n{table}\n\n" if table else "")
    return _BLANK_LINES.sub("\n\n", _BROKEN_FIGURE.sub(lambda m: m[1] or m[2], text)).strip()


def _tables_taken_out(part: Tag) -> list[tuple[str, str]]:
    """Each table's place in the text, and its Markdown; tables for layout are unwrapped."""
    taken: list[tuple[str, str]] = []
    # The innermost first: what is left in an outer one is text.
    for table in reversed(part.find_all("table")):
        if _is_layout(table):
            _unwrap(table)
            continue
        rows = [row for row in table.find_all("tr") if row.find_parent("table") is table]
        header_rows = _header_rows(table, rows)
        cells = [
            [_cell(cell) for cell in row.find_all(["td", "th"], recursive=False)] for row in rows
        ]
        if sum(c * r for row in cells for _, c, r in row) > _MAX_CELLS:
            raise DocumentRejected(f"has a table of more than {_MAX_CELLS} cells: split it")
        markdown = grids.as_markdown(grids.spanned(cells), header_rows)
        caption = table.find("caption")
        if isinstance(caption, Tag):
            markdown = f"{caption.get_text(' ', strip=True)}\n\n{markdown}"
        mark = f"\ue000{len(taken)}\ue001"
        taken.append((mark, markdown))
        table.replace_with(mark)
    return taken


def _is_layout(table: Tag) -> bool:
    if table.get("role") in ("presentation", "none"):
        return True
    cells = table.find_all(["td", "th"])
    if "\ue000" in table.get_text():
        return True
    headed = table.find(["h1", "h2", "h3", "h4"]) is not None
    longest = max((len(cell.get_text()) for cell in cells), default=0)
    rows = table.find_all("tr")
    one_column = all(len(row.find_all(["td", "th"], recursive=False)) <= 1 for row in rows)
    return headed or longest > _MAX_CELL_CHARACTERS or (one_column and table.find("th") is None)


def _unwrap(table: Tag) -> None:
    for element in table.find_all(["td", "th", "tr", "tbody", "thead", "tfoot"]):
        if element.find_parent("table") is table:
            element.name = "div"
    table.name = "div"


def _cell(cell: Tag) -> tuple[str, int, int]:
    cell.name = "div"  # of a cell the converter makes a column
    text = normalised(_CONVERTER.convert_soup(cell))
    return " ".join(text.split()), _span(cell, "colspan"), _span(cell, "rowspan")


def _span(cell: Tag, name: str) -> int:
    written = str(cell.get(name) or "1").strip()
    return min(max(int(written), 1), _MAX_SPAN) if written.isdecimal() and len(written) < 6 else 1


def _header_rows(table: Tag, rows: list[Tag]) -> int:
    """How many rows name the columns: those of `thead`, or of nothing but `th`; one at least."""
    count = 0
    for row in rows:
        in_head = row.find_parent("thead") is not None
        cells = row.find_all(["td", "th"], recursive=False)
        if not in_head and (not cells or any(cell.name == "td" for cell in cells)):
            break
        count += 1
    if count and len(rows) > count:
        return count
    return 1 if len(rows) > 1 or table.find("th") else 0
