"""Zip archives of XML, as Office and OpenDocument write them: bounded, without entities."""

import io
import zipfile
from typing import Any, Self, TypeAlias

from lxml import etree  # type: ignore[import-untyped]  # the package ships no types

from app.errors import DocumentRejected

MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_MEMBERS = 5_000

_DECLARATIONS = ["<!DOCTYPE".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be")]

Element: TypeAlias = Any
"""An element of lxml, which ships no types."""


class Archive:
    """The parts of an archive by their names. A context manager."""

    def __init__(self, content: bytes, name: str) -> None:
        """Refuse a bomb before any of it is unpacked. Raises `DocumentRejected`."""
        self._name = name
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_UNPACKED_BYTES:
            raise DocumentRejected(
                f"unpacks to more than {MAX_UNPACKED_BYTES // 1024**2} MB "
                f"or {MAX_MEMBERS} parts: save it without its images"
            )
        self.names = [member.filename for member in members]
        self._known = set(self.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def read(self, part: str) -> bytes | None:
        """The content of a part; None where there is none."""
        # A declared size that lies ends the reading there, or fails its checksum.
        return self._zip.read(part) if part in self._known else None

    def xml(self, part: str) -> Element | None:
        """The root of a part. Raises `DocumentRejected` for what no writer puts into one."""
        content = self.read(part)
        if content is None:
            return None
        self._refuse_declarations(content)
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        return etree.fromstring(content, parser)

    def refuse_declarations(self) -> None:
        """Raise `DocumentRejected` where any part, whatever its name, declares XML entities."""
        for name in self.names:
            self._refuse_declarations(self._zip.read(name))

    def _refuse_declarations(self, content: bytes) -> None:
        if any(declaration in content for declaration in _DECLARATIONS):
            raise DocumentRejected(f"declares XML entities, which no {self._name} needs")


def local(element: Element) -> str:
    """The element's name without its namespace; empty for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def attribute(element: Element | None, name: str) -> str | None:
    """An attribute by its name, in whatever namespace; None where there is none."""
    if element is None:
        return None
    return next(
        (str(v) for key, v in element.attrib.items() if str(key).rpartition("}")[2] == name), None
    )


def child(element: Element | None, *path: str) -> Element | None:
    """The first element along a path of names."""
    for name in path:
        if element is None:
            return None
        element = next((inner for inner in element if local(inner) == name), None)
    return element


def title_of(archive: Archive) -> str | None:
    """The title in the document's properties."""
    properties = archive.xml("docProps/core.xml")
    title = child(properties, "title")
    return (title.text or "").strip() or None if title is not None else None
