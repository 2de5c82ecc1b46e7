"""All that is done to a file's text before it is embedded: pure, and the same wherever it runs."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.retrieval import loaders
from app.retrieval.chunking import Chunk, chunk_markdown, chunk_text
from app.retrieval.loaders import LoadedFile


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file's text, and the passages that it is cut into."""

    loaded: LoadedFile
    chunks: list[Chunk]


def prepare(content: bytes, name: str, *, force: bool = False) -> Prepared:
    """Read and cut a file. Raises as `loaders.parse` does."""
    loaded = loaders.parse(content, name, force=force)
    return Prepared(loaded, chunks_of(loaded))


def chunks_of(loaded: LoadedFile) -> list[Chunk]:
    """The passages of a loaded file, each with the page on which it begins."""
    cut = chunk_markdown if loaded.is_markdown else chunk_text
    chunks = cut(loaded.text, loaded.title, loaded.body_start)
    return [replace(chunk, page=_page(loaded.pages, chunk.start)) for chunk in chunks]


def _page(starts: Sequence[int], position: int) -> int | None:
    return bisect_right(starts, position) if starts else None
