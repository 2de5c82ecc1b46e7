"""What a reader of a document should know of how it was read."""

from dataclasses import dataclass
from typing import Literal

WarningKind = Literal[
    "not_read",
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
