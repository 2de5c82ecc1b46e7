"""What of a page its reader sees, and what is its frame: navigation, banners, forms."""

import re

from bs4 import BeautifulSoup, Tag
from soupsieve import SelectorSyntaxError

# Never text, whatever it holds.
_NO_TEXT = (
    "script, style, noscript, template, svg, iframe, object, [type='hidden'], dialog:not([open])"
)
_FRAME = (
    "nav, [role='navigation'], [role='search'], [role='banner'], [role='contentinfo'], "
    "[role='complementary'], [role='menu'], [role='menubar'], [role='tablist'], a.headerlink"
)
_TABS = (
    "[role='tablist'] [role='tab'], [role='tablist'] > a, [role='tablist'] > button, "
    ".nav-tabs a, .nav-tabs button, .nav-pills a, .nav-pills button, .tabs a[href^='#'], "
    ".tabs label[for]"
)
_OUTSIDE_CONTENT = "footer, header"
_FRAME_NAME = re.compile(
    r"(?:^|[-_ ])(?:cookies?|consent|gdpr|newsletter|breadcrumbs?|share|sharing|social|related|menu"
    r"|cookie\w*|\w+cookie|\w*(?:cookiebot|onetrust)\w*|navbar|nav|sidebar|advert|ads?|banner|popup|skip-link|pagination|comments?-form|mw-editsection)"
    r"(?:$|[-_ ])",
    re.I,
)
_BANNER_NAME = re.compile(r"cookie|(?:^|[-_ ])(?:consent|gdpr|onetrust)(?:$|[-_ ])", re.I)
_MAX_FRAME_SHARE = 0.4
_MAX_BANNER_SHARE = 0.9
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?<![-\w])opacity\s*:\s*0?\.?0*\s*(?:;|!|$)"
    r"|font-size\s*:\s*(?:0?\.\d+(?:px|pt)|0+(?:\.0+)?(?![.\d])|[0-3](?:\.\d+)?(?:px|pt))"
    r"|text-indent\s*:\s*-\d{3,}|(?:left|top|right)\s*:\s*-\d{3,}|clip\s*:\s*rect\(\s*[01](?:px)?[\s,]+[01]"
    r"|clip-path\s*:\s*inset\(\s*(?:50|100)%|(?:max-)?(?:height|width)\s*:\s*0(?:px)?\s*(?:;|!|$).*overflow\s*:\s*hidden"
    r"|transform\s*:\s*scale\(\s*0\s*\)",
    re.I | re.S,
)
_WHITE_COLOUR = (
    r"(?:#f[c-f]?f[c-f]?f[c-f]?\b|white\b|snow\b|rgba?\(\s*25[2-5]\s*,\s*25[2-5]\s*,\s*25[2-5]\b)"
)
_WHITE = re.compile(
    rf"(?<![-\w])color\s*:\s*(?:{_WHITE_COLOUR}|transparent\b|rgba\([^)]*,\s*0(?:\.0+)?\s*\))",
    re.I,
)
_BACKGROUND = re.compile(
    rf"background(?:-color|-image)?\s*:\s*(?!{_WHITE_COLOUR}|transparent|none)\S", re.I
)
_WHITE_GROUND = re.compile(rf"background(?:-color)?\s*:\s*{_WHITE_COLOUR}", re.I)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_MEDIA = re.compile(r"@[^{}]+\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}|/\*.*?\*/", re.S)
_MAX_RULES = 300
_SCREEN_READER = re.compile(r"^(?:sr-only|visually-?hidden|screen-reader-text|element-invisible)$")
# What a click opens: answers, tabs, panels.
_OPENED = re.compile(
    r"tab|accordi[oa]n|collaps|panel|pane|faq|answer|toggle|expand|spoiler|disclosure|slide|step"
    r"|risposta|jawaban|content",
    re.I,
)
_REFERENCES = (
    "aria-controls",
    "data-target",
    "data-bs-target",
    "data-toggle",
    "href",
    "for",
    "data-tab",
)


def without_unseen(page: BeautifulSoup) -> int:
    """Take out what no reader sees and no control opens; how many pieces of text that was."""
    rules = _hiding_rules(page)
    for element in page.select(_NO_TEXT):
        element.decompose()
    referred = _referred(page)
    count = 0
    hidden = [element for element in page.find_all(True) if _is_hidden(element, rules)]
    for element in hidden:
        if element.decomposed or _opens(element, referred):
            continue
        count += bool(element.get_text(strip=True))
        element.decompose()
    return count


def without_frame(page: BeautifulSoup) -> None:
    """Take out navigation, banners and the fields of forms; not what reads like content."""
    _name_panels(page)
    for element in page.select(_FRAME):
        if not element.decomposed:
            _keep_title(element)
    for element in page.select(_OUTSIDE_CONTENT):
        if not element.decomposed and not element.find_parent(["main", "article"]):
            _keep_title(element)
    for element in page.select("aside"):
        if not element.decomposed and _is_links(element):
            element.decompose()
    whole = max(len(page.get_text(" ", strip=True)), 1)
    for element in page.find_all(True):
        if element.decomposed or element.name in ("html", "body", "main", "article"):
            continue
        names = " ".join([*_classes(element), str(element.get("id") or "")])
        if _FRAME_NAME.search(names) and not element.find(["h1", "main"]):
            share = len(element.get_text(" ", strip=True)) / whole
            most = _MAX_BANNER_SHARE if _BANNER_NAME.search(names) else _MAX_FRAME_SHARE
            if share < most or _is_links(element):
                element.decompose()
    _without_fields(page)


def _name_panels(page: BeautifulSoup) -> None:
    """Write the name of each tab above what it opens: `2025`, of two lists of prices."""
    for tab in page.select(_TABS)[:_MAX_RULES]:
        targets = (str(tab.get(name) or "").lstrip("#") for name in _REFERENCES)
        panel = next((p for t in targets if t and (p := page.find(id=t))), None)
        name = tab.get_text(" ", strip=True)
        if not isinstance(panel, Tag) or not name or name in panel.get_text(" ")[: 2 * len(name)]:
            continue
        label = page.new_tag("p")
        label.string = name
        panel.insert(0, label)


def _keep_title(element: Tag) -> None:
    """Take an element out but for a heading of the page in it, and what is written below that."""
    title = element.find("h1")
    if not isinstance(title, Tag):
        element.decompose()
        return
    below = [p for p in title.find_all_next(["p", "time"]) if element in p.parents]
    kept = [p for p in below if not _is_links(p) and not p.find_parent(["nav", "form", "p"])]
    element.replace_with(title.extract(), *(p.extract() for p in kept))


def _is_links(element: Tag) -> bool:
    linked = sum(len(a.get_text(strip=True)) for a in element.find_all("a"))
    return linked > 0.5 * len(element.get_text(strip=True))


def _without_fields(page: BeautifulSoup) -> None:
    for button in page.find_all("button"):
        # A question that a click answers, and a cell of a table, are text.
        is_text = button.find_parent(
            ["h1", "h2", "h3", "h4", "h5", "h6", "dt", "td", "th", "summary"]
        )
        controls = any(
            button.has_attr(n)
            for n in ("aria-expanded", "aria-controls", "data-target", "data-bs-target")
        )
        asks = button.get_text(strip=True).endswith("?") or "accordion" in " ".join(
            _classes(button)
        )
        if is_text or asks:
            button.unwrap()
        elif controls and len(button.get_text(strip=True).split()) > 1:
            button.name = "p"
        else:
            button.decompose()
    for field in page.find_all(["input", "select", "textarea"]):
        value = _value(field) if field.find_parent(["td", "th"]) else ""
        if value:
            field.replace_with(value)
        else:
            field.decompose()


def _value(field: Tag) -> str:
    if field.name == "select":
        chosen = field.select_one("option[selected]")
        return chosen.get_text(" ", strip=True) if chosen else ""
    if field.name == "textarea":
        return field.get_text(" ", strip=True)
    shown = str(field.get("type") or "text") in ("text", "number", "date", "tel", "email", "url")
    return str(field.get("value") or "") if shown else ""


def _is_hidden(element: Tag, rules: set[int]) -> bool:
    if element.attrs is None:
        return False
    style = str(element.get("style") or "")
    if element.get("hidden") is not None and element.get("hidden") != "until-found":
        return True
    if element.get("aria-hidden") == "true" or id(element) in rules or _HIDING.search(style):
        return True
    if any(_SCREEN_READER.match(name) for name in _classes(element)):
        return True
    white = _WHITE.search(style) or str(element.get("color") or "").lower() in (
        "#ffffff",
        "#fff",
        "white",
    )
    return bool(white) and not _has_background(element)


def _has_background(element: Tag) -> bool:
    if _WHITE_GROUND.search(str(element.get("style") or "")):
        return False
    around = [element, *element.parents]
    return any(
        _BACKGROUND.search(str(e.get("style") or "")) or e.get("bgcolor") or e.get("class")
        for e in around
        if e.name not in ("body", "html", "[document]") and e.attrs is not None
    )


def _hiding_rules(page: BeautifulSoup) -> set[int]:
    """The elements that a style sheet in the page hides."""
    text = "\n".join(style.get_text() for style in page.find_all("style"))
    hidden: set[int] = set()
    for selector, declarations in _RULE.findall(_MEDIA.sub("", text))[:_MAX_RULES]:
        white = _WHITE.search(declarations) and _WHITE_GROUND.search(declarations)
        if (white or _HIDING.search(declarations)) and ":" not in selector:
            try:
                hidden |= {id(element) for element in page.select(selector.strip())}
            except SelectorSyntaxError:
                continue
    return hidden


def _referred(page: BeautifulSoup) -> set[str]:
    """The ids that a control of the page names."""
    return {
        part.lstrip("#")
        for element in page.find_all(
            ["button", "a", "label", "summary", "li", "div", "span", "h2", "h3", "h4"]
        )
        for name in _REFERENCES
        for part in str(element.get(name) or "").split()
        if name != "href" or part.startswith("#")
    }


def _opens(element: Tag, referred: set[str]) -> bool:
    """Whether a control opens what is hidden."""
    if str(element.get("id") or "") in referred or element.name in ("details", "summary"):
        return bool(element.get("id")) or element.name in ("details", "summary")
    if element.get("role") in ("tabpanel", "region") or element.find_parent("details"):
        return True
    before = element.find_previous_sibling()
    if isinstance(before, Tag) and (before.name in ("button", "summary") or before.find("button")):
        return True
    if isinstance(before, Tag) and (before.has_attr("onclick") or before.get("role") == "button"):
        return True
    names = " ".join([*_classes(element), str(element.get("id") or "")])
    if not _OPENED.search(names):
        return False
    # Its siblings of the same class are seen, or something before it is to be clicked.
    return isinstance(before, Tag) or element.find_next_sibling() is not None


def _classes(element: Tag) -> list[str]:
    classes = element.get("class") if element.attrs is not None else None
    return list(classes) if isinstance(classes, list) else [str(classes)] if classes else []
