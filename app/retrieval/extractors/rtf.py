r"""RTF into Markdown, by way of HTML.

Not by a library: striprtf joins a raised figure to the number before it, and shows hidden text.
"""

import re
from dataclasses import dataclass, field, replace
from html import escape

from app.errors import DocumentRejected
from app.retrieval.extractors import html
from app.retrieval.extractors.extracted import MAX_CHARACTERS, Extracted
from app.retrieval.warnings import DocumentWarning

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<value>-?\d{1,9})? ?|\\'(?P<byte>[0-9a-fA-F]{2})"
    rb"|\\(?P<sign>[^a-zA-Z'])|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|(?P<rest>[\r\n]+|\\)",
    re.S,
)
_TITLE = re.compile(rb"\{\\title ([^{}\\]{1,200})\}")
_MAX_DEPTH = 1_000
# Groups that hold no text of the document, and those that none but a newer program knows.
_SKIPPED = frozenset(
    [
        "fonttbl",
        "colortbl",
        "stylesheet",
        "listtable",
        "listoverridetable",
        "rsidtbl",
        "generator",
        "info",
        "pict",
        "object",
        "fldinst",
        "bkmkstart",
        "bkmkend",
        "annotation",
        "atnid",
        "atnauthor",
        "nonshppict",
        "filetbl",
        "revtbl",
        "xmlnstbl",
        "themedata",
        "colorschememapping",
        "datastore",
        "latentstyles",
    ]
)
_KEPT_IF_UNKNOWN = frozenset(["shptxt", "shpinst", "shppict", "listtext", "fldrslt"])
_SIGNS = {
    "emdash": "—",
    "endash": "–",
    "bullet": "•",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
    "tab": " ",
    "line": "<br>",
    "cell": "\ue010",
    "nestcell": " ",
}
_TAGS = {"super": "sup", "up": "sup", "sub": "sub", "dn": "sub", "strike": "s", "b": "b"}
_CODE_PAGES = {10000: "mac_roman", 65001: "utf-8"}


@dataclass(frozen=True, slots=True)
class _State:
    """What holds within a group."""

    skipped: bool = False
    hidden: bool = False
    tag: str = ""
    after_unicode: int = 1
    in_table: bool = False
    end: str = ""


@dataclass(slots=True)
class _Reader:
    """Writes HTML from the tokens, in order."""

    state: _State = field(default_factory=_State)
    stack: list[_State] = field(default_factory=list)
    encoding: str = "cp1252"
    hidden: int = 0
    images: int = 0
    blocks: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    pending: bytearray = field(default_factory=bytearray)
    to_skip: int = 0
    starts_group: bool = False
    is_optional: bool = False

    def read(self, content: bytes) -> None:
        for token in _TOKEN.finditer(content):
            if token["byte"]:
                self._byte(int(token["byte"], 16))
                continue
            self._flush()
            if token["brace"]:
                self._brace(token["brace"])
            elif token["word"]:
                self._word(token["word"].decode(), token["value"])
            elif token["sign"]:
                self._sign(token["sign"])
            elif token["text"]:
                self._plain(token["text"])
        self._flush()
        self._end_paragraph()
        self._end_table()

    def _byte(self, byte: int) -> None:
        if self.to_skip:
            self.to_skip -= 1
        else:
            self.pending.append(byte)
        self.starts_group = False

    def _flush(self) -> None:
        if self.pending:
            # Bytes that follow each other may be one character.
            text, self.pending = self.pending.decode(self.encoding, "replace"), bytearray()
            self._write(text)

    def _plain(self, text: bytes) -> None:
        skipped = min(self.to_skip, len(text))
        self.to_skip -= skipped
        self.starts_group = False
        self._write(text[skipped:].decode(self.encoding, "replace"))

    def _write(self, text: str) -> None:
        if self.state.skipped or not text:
            return
        if self.state.hidden:
            self.hidden += bool(text.strip())
            return
        tag = self.state.tag
        self.line.append(f"<{tag}>{escape(text)}</{tag}>" if tag else escape(text))

    def _brace(self, brace: bytes) -> None:
        self.to_skip = 0
        if brace == b"{":
            if len(self.stack) >= _MAX_DEPTH:
                raise DocumentRejected("is nested too deeply")
            self.stack.append(self.state)
            self.state = replace(self.state, end="")
            self.starts_group = True
        elif self.stack:
            self._write(self.state.end)
            self.state = self.stack.pop()
        self.is_optional = False

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self.is_optional = True
            return
        self.starts_group = False
        signs = {b"~": " ", b"_": "-", b"{": "{", b"}": "}", b"\\": "\\"}
        if sign in (b"\n", b"\r"):
            self._end_paragraph()
        else:
            self._write(signs.get(sign, ""))

    def _word(self, word: str, written: bytes | None) -> None:
        value = int(written) if written else None
        if self.starts_group and self._opens_destination(word):
            return
        self.starts_group = self.is_optional = False
        on = value != 0
        match word:
            case "par" | "sect" | "page":
                self._end_paragraph()
            case "row":
                self._end_row()
            case "intbl":
                self.state = replace(self.state, in_table=True)
            case "pard":
                self.state = replace(self.state, in_table=False)
            case "plain":
                self.state = replace(self.state, hidden=False, tag="")
            case "v" | "deleted":
                self.state = replace(self.state, hidden=on)
            case "nosupersub":
                self.state = replace(self.state, tag="")
            case _ if word in _TAGS:
                self.state = replace(self.state, tag=_TAGS[word] if on else "")
            case "ansicpg":
                self.encoding = _encoding(value or 1252)
            case "mac":
                self.encoding = "mac_roman"
            case "uc":
                self.state = replace(self.state, after_unicode=min(value or 0, 10))
            case "u" if value is not None:
                self._unicode(value % 65536)
            case _ if word in _SIGNS and not self.state.skipped and not self.state.hidden:
                self.line.append(_SIGNS[word])

    def _opens_destination(self, word: str) -> bool:
        unknown = self.is_optional and word not in _KEPT_IF_UNKNOWN
        if word in _SKIPPED or unknown:
            self.images += word == "pict" and not self.state.skipped
            self.state = replace(self.state, skipped=True)
        elif word == "footnote":
            self._write(" (footnote: ")
            self.state = replace(self.state, end=") ")
        else:
            return False
        self.starts_group = self.is_optional = False
        return True

    def _unicode(self, code: int) -> None:
        self.to_skip = self.state.after_unicode
        self._write(chr(code))

    def _end_paragraph(self) -> None:
        if self.state.skipped:
            return
        if self.state.in_table:
            self.line.append("<br>")
            return
        text, self.line = "".join(self.line).replace("\ue010", " "), []
        if text.strip():
            self._end_table()
            self.blocks.append(f"<p>{text}</p>")

    def _end_row(self) -> None:
        cells, self.line = "".join(self.line).split("\ue010"), []
        self.rows.append("".join(f"<td>{cell}</td>" for cell in cells[:-1]))

    def _end_table(self) -> None:
        rows, self.rows = self.rows, []
        if rows:
            self.blocks.append(f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>")


def extract(content: bytes) -> Extracted:
    """Paragraphs, tables and notes. Raises `DocumentRejected`."""
    reader = _Reader()
    reader.read(content)
    page = "".join(reader.blocks).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(page) > MAX_CHARACTERS:
        raise DocumentRejected(f"holds more than {MAX_CHARACTERS // 10**6} million characters")
    text = html.fragment(page)
    if not text.strip():
        raise DocumentRejected("holds no text")
    title = _TITLE.search(content)
    warnings = []
    if reader.hidden:
        detail = f"{reader.hidden} pieces of hidden text are left out"
        warnings.append(DocumentWarning("hidden_text", detail))
    if reader.images:
        warnings.append(DocumentWarning("not_read", f"{reader.images} images are not read"))
    named = title[1].decode(reader.encoding, "replace").strip() if title else None
    return Extracted(f"{text}\n", True, named or None, warnings=tuple(warnings))


def _encoding(code_page: int) -> str:
    name = _CODE_PAGES.get(code_page, f"cp{code_page}")
    try:
        b"".decode(name)
    except LookupError:
        return "cp1252"
    return name
