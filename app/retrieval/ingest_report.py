"""What an ingest tells while it runs, and at its end."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one file; `marks` are the remarks made at the door."""

    document_id: str
    change: Literal["added", "changed", "unchanged"]
    chunks: int = 0
    marks: tuple[str, ...] = ()
    supersedes: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be said of a file: why it was rejected, or a mark; as text, one line."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


@dataclass(slots=True)
class IngestSummary:
    """What one ingest did: documents, and `chunks` written; as text, one line.

    `skipped` are files in formats that are not read.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    chunks: int = 0
    rejected: list[Notice] = field(default_factory=list)
    skipped: list[Notice] = field(default_factory=list)
    marked: list[Notice] = field(default_factory=list)
    successors: list[tuple[str, str]] = field(default_factory=list)
    """Paths of what was written, with the document that it supersedes."""

    def count(self, path: str, ingested: Ingested) -> None:
        """Add what became of a file."""
        match ingested.change:
            case "added":
                self.added += 1
            case "changed":
                self.changed += 1
            case "unchanged":
                self.unchanged += 1
        self.chunks += ingested.chunks
        self.marked += [Notice(path, mark) for mark in ingested.marks]
        if ingested.supersedes:
            self.successors.append((path, ingested.supersedes))

    def mark_successors(self, known: Container[str]) -> None:
        """At the end, when all `known` documents are in: mark what supersedes none of them."""
        self.marked += [
            Notice(path, f"supersedes {document_id}, which is not indexed")
            for path, document_id in self.successors
            if document_id not in known
        ]

    def __str__(self) -> str:
        return (
            f"{self.added} added, {self.changed} changed, {self.unchanged} unchanged, "
            f"{self.deleted} deleted, {len(self.rejected)} rejected, {len(self.skipped)} skipped; "
            f"{self.chunks} chunks written"
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each step: `done` of `total` files, or of chunks in a rebuild.

    `share` of all bytes, 0 to 1, is the better estimate where files differ in size.
    """

    done: int
    total: int
    path: str | None = None
    share: float = 0.0


ProgressCallback = Callable[[Progress], None]


class Meter:
    """Tells how far an ingest is, by the bytes of its files."""

    def __init__(self, sizes: Sequence[int], tell: ProgressCallback) -> None:
        self._sizes = sizes
        self._tell = tell
        self._whole = sum(sizes) or 1
        self._done = 0
        self._bytes = 0

    def part(self, path: str, share: float) -> None:
        """So much, 0 to 1, of the file at hand is done."""
        share_of_all = (self._bytes + share * self._sizes[self._done]) / self._whole
        self._tell(Progress(self._done, len(self._sizes), path, share_of_all))

    def file(self, path: str) -> None:
        """The file at hand is done."""
        self._bytes += self._sizes[self._done]
        self._done += 1
        self._tell(Progress(self._done, len(self._sizes), path, self._bytes / self._whole))
