"""What an ingest tells while it runs, and at its end."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that was not indexed, and why; as text, one line."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(slots=True)
class IngestSummary:
    """What one ingest did: documents, and `chunks` written; as text, one line."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    chunks: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.added} added, {self.changed} changed, {self.unchanged} unchanged, "
            f"{self.deleted} deleted, {len(self.rejected)} rejected; {self.chunks} chunks written"
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each step: `done` of `total` files, or of chunks in a rebuild."""

    done: int
    total: int
    path: str | None = None


ProgressCallback = Callable[[Progress], None]
