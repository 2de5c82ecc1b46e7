"""All that is done to a file's text before it is embedded: pure, and the same wherever it runs."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.retrieval import gate, loaders
from app.retrieval.chunking import Chunk, chunk_markdown, chunk_text
from app.retrieval.gate import Findings
from app.retrieval.loaders import LoadedFile
from app.retrieval.warnings import DocumentWarning


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file's text, the passages that it is cut into, and what the gate has to say."""

    loaded: LoadedFile
    chunks: list[Chunk]
    findings: Findings

    @property
    def warnings(self) -> tuple[DocumentWarning, ...]:
        """What was not read as it is written, and what the gate remarks on."""
        return self.loaded.warnings + self.findings.warnings


def prepare(content: bytes, name: str, *, force: bool = False) -> Prepared:
    """Read, examine and cut a file. Raises as `loaders.parse` does."""
    loaded = loaders.parse(content, name, force=force)
    findings = gate.examine(loaded, name)
    chunks = chunks_of(loaded)
    if findings.is_explanation:
        chunks = [replace(chunk, kind="explanation") for chunk in chunks]
    return Prepared(loaded, chunks, findings)


def chunks_of(loaded: LoadedFile) -> list[Chunk]:
    """The passages of a loaded file, each with the pages on which it begins and ends."""
    cut = chunk_markdown if loaded.is_markdown else chunk_text
    chunks = cut(loaded.text, loaded.title, loaded.body_start)
    return [
        replace(
            chunk,
            page=_page(loaded.pages, chunk.start),
            last_page=_page(loaded.pages, chunk.end - 1),
        )
        for chunk in chunks
    ]


def _page(starts: Sequence[int], position: int) -> int | None:
    return bisect_right(starts, position) if starts else None
