"""What an ingest tells while it runs, and at its end."""

import time
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
    without_vectors: str = ""
    """Why passages are found by their words alone for now; empty when their vectors are there."""

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
    """How far an ingest is: first files are read, then their passages are embedded.

    `share` of all, 0 to 1, is by bytes where files differ in size. `rate` is in files or passages
    a second and `left_s` in seconds; both are None before anything is done.
    """

    done: int
    total: int
    path: str | None = None
    share: float = 0.0
    unit: Literal["files", "passages"] = "files"
    rate: float | None = None
    left_s: float | None = None

    def __str__(self) -> str:
        """Return all of it in one line."""
        parts = [f"{self.done:,}/{self.total:,} {self.unit}", f"{self.share:.0%}"]
        if self.rate is not None:
            parts.append(f"{self.rate:.1f}/s")
        if self.left_s is not None:
            parts.append(f"{_duration(self.left_s)} left")
        return ", ".join(parts)


ProgressCallback = Callable[[Progress], None]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


class _Pace:
    """Rate and time left since it was made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()

    def of(self, done: int, share: float) -> tuple[float | None, float | None]:
        """The rate, and the seconds that are left when `share` of all is done."""
        passed = self._clock() - self._started
        if not done or not share or passed <= 0:
            return None, None
        return done / passed, passed * (1 - share) / share


class Meter:
    """Reports how far the reading of files is, by their bytes."""

    def __init__(self, sizes: Sequence[int], tell: ProgressCallback) -> None:
        self._sizes = sizes
        self._tell = tell
        self._whole = sum(sizes) or 1
        self._done = 0
        self._bytes = 0
        self._pace = _Pace()

    def file(self, path: str) -> None:
        """The file at hand is done."""
        self._bytes += self._sizes[self._done]
        self._done += 1
        share = self._bytes / self._whole
        rate, left_s = self._pace.of(self._done, share)
        self._tell(Progress(self._done, len(self._sizes), path, share, "files", rate, left_s))


class PassageMeter:
    """Reports how far the embedding of passages is; nothing where none has to be embedded."""

    def __init__(self, tell: ProgressCallback) -> None:
        self._tell = tell
        self._total = 0
        self._pace = _Pace()

    def left(self, passages: int) -> None:
        """So many passages are not embedded yet; the first time, all that have to be."""
        self._total = max(self._total, passages)
        if not self._total:
            return
        done = self._total - passages
        share = done / self._total
        rate, left_s = self._pace.of(done, share)
        self._tell(Progress(done, self._total, None, share, "passages", rate, left_s))
