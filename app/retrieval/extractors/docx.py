"""DOCX into Markdown, by way of HTML.

Not by a library: of those that were measured (mammoth, docx2python, kreuzberg) each loses several
of automatic numbers, text boxes, imported parts, headers, hidden text and spanned cells.
"""

import posixpath
import re
from collections.abc import Iterator
from html import escape

from app.errors import DocumentRejected
from app.retrieval.extractors import html
from app.retrieval.extractors.archives import Archive, Element, attribute, child, local, title_of
from app.retrieval.extractors.docx_body import Body, styles_of
from app.retrieval.extractors.docx_numbering import Numbering
from app.retrieval.extractors.encodings import decoded
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.figures import differences, figures
from app.retrieval.extractors.normalisation import normalised
from app.retrieval.warnings import DocumentWarning

_MAX_IMPORTED = 50
_NOT_SHOWN = frozenset(["del", "moveFrom", "Fallback"])
_LETTER = re.compile(r"[^\W\d_]{3}")
_PAGE_NUMBER = re.compile(
    r"\W*(?:page|pagina|halaman|hal)?\W*\d*\W*(?:of|di|dari|/)?\W*\d*\W*", re.I
)


def extract(content: bytes) -> Extracted:
    """Text, headings, lists, tables, notes and boxes. Raises `DocumentRejected`."""
    with Archive(content, "DOCX") as archive:
        archive.refuse_declarations()
        return _Document(archive).extracted()


class _Document:
    def __init__(self, archive: Archive, depth: int = 0) -> None:
        self._archive = archive
        self._depth = depth
        self._main = _main_part(archive)
        self._folder = posixpath.dirname(self._main)
        self._targets = dict(_relationships(archive, self._main))
        self._warnings: list[DocumentWarning] = []
        self._notes = {kind: self._notes_of(kind) for kind in ("footnote", "endnote")}
        self._body = Body(
            styles_of(archive.xml(self._beside("styles.xml"))),
            Numbering(archive.xml(self._beside("numbering.xml"))),
            self._note,
            self._imported,
        )

    def extracted(self) -> Extracted:
        page = self.html()
        read = html.extract(page)
        text = normalised(read.text)
        root = self._root()
        expected = figures("\n".join(_paragraphs(root))) - figures(" ".join(self._body.hidden))
        # Automatic numbers are in the text alone.
        missing = differences(figures(text), expected | figures(text))
        return Extracted(
            text,
            is_markdown=True,
            title=title_of(self._archive),
            warnings=(*self._warnings, *self._not_read(), *missing),
        )

    def html(self) -> str:
        """The page's headers, the body and the footers, each once."""
        body = child(self._root(), "body")
        if body is None:
            raise DocumentRejected("is a DOCX without a text")
        main = self._body.html(body)
        return f"<body>{self._margins('header')}{main}{self._margins('footer')}</body>"

    def _root(self) -> Element:
        root = self._archive.xml(self._main)
        if root is None:
            raise DocumentRejected("is a DOCX without a text")
        return root

    def _beside(self, name: str) -> str:
        return posixpath.join(self._folder, name)

    def _margins(self, kind: str) -> str:
        """The paragraphs of all headers or footers that say something, each once."""
        seen: dict[str, None] = {}
        for part in self._archive.names:
            if re.fullmatch(rf"{re.escape(self._beside(kind))}\d*\.xml", part):
                root = self._archive.xml(part)
                block = self._body.html(root) if root is not None else ""
                text = re.sub(r"<[^>]+>", "", block)
                if _LETTER.search(text) and not _PAGE_NUMBER.fullmatch(text):
                    seen[block] = None
        return "".join(seen)

    def _notes_of(self, kind: str) -> dict[str, Element]:
        root = self._archive.xml(self._beside(f"{kind}s.xml"))
        notes = root.iter(f"{{*}}{kind}") if root is not None else ()
        return {attribute(note, "id") or "": note for note in notes}

    def _note(self, kind: str, note_id: str) -> str:
        note = self._notes[kind].get(note_id)
        if note is None:
            return ""
        text = " ".join(" ".join(_paragraphs(note)).split())
        return f" ({kind}: {escape(text)})" if text else ""

    def _imported(self, relationship: str) -> str:
        """What Word shows in the place of a part that it imports."""
        target = self._targets.get(relationship, "")
        content = self._archive.read(target)
        suffix = posixpath.splitext(target)[1].lower()
        if content is not None and self._depth == 0:
            if suffix in (".html", ".htm", ".xhtml", ".mht", ".mhtml"):
                return html.visible(content)
            if suffix == ".txt":
                lines = decoded(content)[0].split("\n")
                return "".join(f"<p>{escape(line)}</p>" for line in lines)
            if suffix == ".docx":
                with Archive(content, "DOCX") as archive:
                    return _Document(archive, 1).html()
        detail = f"the imported part {posixpath.basename(target) or relationship} is not read"
        self._warnings.append(DocumentWarning("not_read", detail))
        return ""

    def _not_read(self) -> Iterator[DocumentWarning]:
        hidden = self._body.hidden
        if hidden:
            detail = f"{len(hidden)} pieces of hidden text are left out"
            yield DocumentWarning("hidden_text", detail)
        if self._body.images:
            yield DocumentWarning("not_read", f"{self._body.images} images are not read")
        for name in self._archive.names:
            if "/embeddings/" in name:
                base = posixpath.basename(name)
                yield DocumentWarning("not_read", f"the embedded file {base} is not read")
        comments = self._archive.xml(self._beside("comments.xml"))
        if comments is not None and len(comments):
            yield DocumentWarning("not_read", f"{len(comments)} comments of reviewers are left out")


def _main_part(archive: Archive) -> str:
    targets = _relationships(archive, "")
    return next((t for _, t in targets if t.endswith("document.xml")), "word/document.xml")


def _relationships(archive: Archive, part: str) -> Iterator[tuple[str, str]]:
    folder, name = posixpath.split(part)
    root = archive.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
    for element in root if root is not None else ():
        target = attribute(element, "Target") or ""
        absolute = target[1:] if target.startswith("/") else posixpath.join(folder, target)
        yield attribute(element, "Id") or "", posixpath.normpath(absolute)


def _paragraphs(element: Element) -> Iterator[str]:
    """The text of each paragraph, from its runs alone: a second reading."""
    for paragraph in element.iter("{*}p"):
        texts = (t for t in paragraph.iter("{*}t", "{*}tab", "{*}br") if _is_shown(t, paragraph))
        yield "".join(_separate(t) if local(t) == "t" else " " for t in texts)


def _separate(text: Element) -> str:
    """A text; one that is raised, lowered or of an equation is apart from what is around it."""
    is_math = text.tag.endswith("/math}t")
    apart = is_math or child(text.getparent(), "rPr", "vertAlign") is not None
    return f" {text.text or ''} " if apart else text.text or ""


def _is_shown(element: Element, paragraph: Element) -> bool:
    for outer in element.iterancestors():
        if outer is paragraph:
            return not any(local(around) in _NOT_SHOWN for around in paragraph.iterancestors())
        if local(outer) in _NOT_SHOWN or local(outer) == "p":
            return False
    return True
