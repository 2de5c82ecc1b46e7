"""What a text would load or link to, once a front end renders it."""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token

from app.api.pages import VENDOR
from tests.node import NODE

_COMMONMARK = MarkdownIt("commonmark", {"html": True})
# As GitHub's flavour makes links of them, in the text that is left when all else is parsed.
_BARE = re.compile(
    r"(?:https?|ftp)://\S+|www\.[\w-]\S*|(?:mailto:|xmpp:)?[\w.+-]+@[\w-]+\.\w\S*", re.IGNORECASE
)
_ATTRIBUTES = {"href", "src", "srcset", "data", "action", "xlink:href", "poster", "background"}
_MARKED = VENDOR / "marked-18.2.1" / "marked.esm.js"
_RENDER = f"""
import {{ marked }} from "{_MARKED.as_uri()}";
const texts = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(texts.map((text) => marked.parse(text))));
"""


def addresses(text: str) -> set[str]:
    """All that CommonMark with HTML, and GitHub's bare addresses, make links or pictures of."""
    return set(_of_tokens(_COMMONMARK.parse(text)))


def pictures(text: str) -> list[str]:
    """The pictures among them, whoever's they are."""
    return list(_pictures_of(_COMMONMARK.parse(text)))


def _pictures_of(tokens: Iterable[Token]) -> Iterable[str]:
    for token in tokens:
        if token.type == "image":
            yield str(token.attrs["src"])
        yield from _pictures_of(token.children or ())


def _of_tokens(tokens: Iterable[Token]) -> Iterable[str]:
    for token in tokens:
        yield from (str(token.attrs[name]) for name in ("href", "src") if name in token.attrs)
        yield from _of_tokens(token.children or ())
        if token.type in ("html_block", "html_inline"):
            yield from addresses_in_html(token.content)
            # A line break may stand before text, which is of its block then.
            if re.search(r"<(?!br ?/?>)[a-z/!?]", token.content, re.IGNORECASE):
                yield f"a tag: {token.content}"
        elif token.type == "text":
            yield from _BARE.findall(token.content)


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in _ATTRIBUTES]
        if tag in ("img", "image", "picture", "video", "source", "input"):
            self.pictures += [value or "" for name, value in attrs if name in _ATTRIBUTES]
        self.found += [f"{tag} {name}" for name, _ in attrs if name.startswith("on")]
        if tag in ("script", "style", "iframe", "svg", "object", "embed", "form"):
            self.found.append(f"a tag: {tag}")


def addresses_in_html(html: str) -> list[str]:
    """Every address that a page of this would load or link to, and every script in it."""
    parser = _Addresses()
    parser.feed(html)
    return parser.found


def pictures_in_html(html: str) -> list[str]:
    """Every address that a page of this would load as a picture."""
    parser = _Addresses()
    parser.feed(html)
    return parser.pictures


def rendered_by_marked(texts: Sequence[str]) -> list[str]:
    """The texts as HTML, as marked makes it, with GitHub's flavour and no sanitiser behind."""
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", _RENDER],
        input=json.dumps(texts), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    html: list[str] = json.loads(done.stdout)
    return html
