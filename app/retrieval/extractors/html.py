"""HTML into Markdown: what a reader of the page sees, without its furniture."""

import re

from bs4 import BeautifulSoup, Tag
from markdownify import MarkdownConverter

from app.retrieval.extractors.extracted import Extracted, normalised

_FURNITURE = (
    "script, style, noscript, template, svg, iframe, object, button, input, select, textarea, "
    "nav, footer, aside, header:not(article header):not(main header), "
    "[role='navigation'], [role='search'], [role='banner'], [role='contentinfo'], "
    "[role='complementary'], a.headerlink"
)
# What only a machine would read: a place for instructions to a model.
_HIDDEN = "[hidden], [aria-hidden='true']"
_HIDING_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|font-size\s*:\s*0(?![.\d]*[1-9])",
    re.I,
)
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


def extract(content: bytes | str) -> Extracted:
    """The main part of a page; the encoding is the declared or the likeliest one."""
    page = BeautifulSoup(content, "lxml")
    title = page.title.get_text(" ", strip=True) if page.title else ""
    unseen = page.select(f"{_FURNITURE}, {_HIDDEN}")
    for element in unseen + page.find_all(style=_HIDING_STYLE):
        element.decompose()
    main = page.select_one("main, [role='main']") or _only_article(page) or page.body or page
    if page.title:
        page.title.decompose()
    converter = MarkdownConverter(
        heading_style="ATX",
        bullets="-",
        table_infer_header=True,
        strip=["a", "img"],
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
    )
    text = normalised(converter.convert_soup(main))
    return Extracted(_BLANK_LINES.sub("\n\n", text).strip() + "\n", True, title or None)


def _only_article(page: BeautifulSoup) -> Tag | None:
    """The page's article, with those in it; none where there are several beside each other."""
    outermost = page.select("article:not(article article)")
    return outermost[0] if len(outermost) == 1 else None
