"""What a reader of a document should know of how it was read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

WarningKind = Literal[
    "not_read",
    "recognised",
    "low_confidence",
    "hidden_text",
    "figures",
    "encoding",
    "metadata",
    "structure",
    "content",
]


@dataclass(frozen=True, slots=True)
class DocumentWarning:
    """One thing that was not read, or not as it is written; as text, one line.

    `where` is a place in the file such as "page 2" or "line 14", empty for the whole of it.
    """

    kind: WarningKind
    detail: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}" if self.where else self.detail


def encoded(warnings: Iterable[DocumentWarning]) -> str:
    """Warnings as they are stored: an object of JSON a line."""
    return "\n".join(msgspec.json.encode(warning).decode() for warning in warnings)


def decoded(text: str) -> list[DocumentWarning]:
    """Stored warnings; a line that is no object is the detail of an older one."""
    return [
        msgspec.json.decode(line, type=DocumentWarning)
        if line.startswith("{")
        else DocumentWarning("content", line)
        for line in text.split("\n")
        if line
    ]
