"""Files and folders into the store and its indexes: what is unchanged costs nothing."""

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from app.errors import DocumentRejected
from app.retrieval import loaders
from app.retrieval.chunking import Chunk, chunk_markdown, chunk_text
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.loaders import LoadedFile
from app.retrieval.records import Document, Identity
from app.retrieval.store import Store, vector_key

# Some ten seconds of embedding: how long a stop may take.
EMBEDDING_SLICE = 64


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


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder to ingest.

    `root` marks the documents as this source's: what vanished from a folder is
    deleted among its own only. Without one it is the folder's absolute path.
    `prefix` stands before the documents' ids.
    """

    path: Path
    root: str | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    root: str
    document_id: str


class Ingester:
    """Brings the knowledge base up to files. Calls block; one ingest at a time."""

    def __init__(
        self,
        store: Store,
        dense: DenseSearch,
        embedder: Embedder,
        shipped: Mapping[str, Vectors],
    ) -> None:
        self._store = store
        self._dense = dense
        self._embedder = embedder
        self._shipped = shipped

    def run(
        self, sources: Sequence[Source], progress: ProgressCallback, stop: Callable[[], bool]
    ) -> IngestSummary:
        """Ingest the sources; `stop` is asked between two files, or slices of a long one,
        and ends it."""
        summary = IngestSummary()
        known = self._store.identities()
        files = list(_files(sources, summary))
        seen: set[str] = set()
        for done, file in enumerate(files, start=1):
            try:
                _check_id(file, known.get(file.document_id), seen)
                seen.add(file.document_id)
                self._ingest(file, known.get(file.document_id), summary, stop)
            except DocumentRejected as error:
                summary.rejected.append(Rejection(str(file.path), str(error)))
            if stop():
                return summary
            progress(Progress(done, len(files), str(file.path)))
        folders = {_root(source) for source in sources if source.path.is_dir()}
        for document_id, identity in known.items():
            if identity.root in folders and document_id not in seen:
                self._dense.write(partial(self._store.delete_document, document_id))
                summary.deleted += 1
        return summary

    def _ingest(
        self, file: _File, known: Identity | None, summary: IngestSummary, stop: Callable[[], bool]
    ) -> None:
        content = loaders.read_file(file.path)
        content_hash = loaders.content_hash(content)
        if known and known.content_hash == content_hash:
            summary.unchanged += 1
            return
        loaded = loaders.parse(content, file.path)
        chunks = chunks_of(loaded)
        keys = [vector_key(self._embedder.name, chunk.embedded_text) for chunk in chunks]
        texts = {key: chunk.embedded_text for key, chunk in zip(keys, chunks, strict=True)}
        vectors = self._vectors(texts, stop)
        if stop():
            return
        document = Document(
            id=file.document_id,
            root=file.root,
            title=loaded.title,
            language=loaded.language,
            content_hash=content_hash,
            text=loaded.text,
            uri=loaded.uri,
            source=loaded.source,
            effective_date=loaded.effective_date,
            checked=loaded.checked,
        )
        self._dense.write(partial(self._store.replace_document, document, chunks, keys, vectors))
        summary.chunks += len(chunks)
        if known:
            summary.changed += 1
        else:
            summary.added += 1

    def _vectors(self, texts: Mapping[str, str], stop: Callable[[], bool]) -> dict[str, Vectors]:
        """A vector for each key: shipped, stored, or embedded now, before any transaction."""
        shipped = {key: self._shipped[key] for key in texts if key in self._shipped}
        found = shipped | self._store.known_vectors(texts.keys() - shipped.keys())
        missing = [key for key in texts if key not in found]
        for start in range(0, len(missing), EMBEDDING_SLICE):
            if stop():
                break
            keys = missing[start : start + EMBEDDING_SLICE]
            found |= zip(keys, self._embedder.embed_passages([texts[k] for k in keys]), strict=True)
        return found


def chunks_of(loaded: LoadedFile) -> list[Chunk]:
    """The passages of a loaded file."""
    cut = chunk_markdown if loaded.is_markdown else chunk_text
    return cut(loaded.text, loaded.title, loaded.body_start)


def rebuild(store: Store, embedder: Embedder, progress: ProgressCallback) -> int:
    """Embed every stored chunk with `embedder`; how many there are.

    Killed half-way, the store still holds the old vectors and, kept for the next
    try, those made so far.
    """
    texts = store.embedded_texts()
    keys = {chunk_id: vector_key(embedder.name, text) for chunk_id, text in texts.items()}
    known = store.known_vectors(set(keys.values()))
    missing = list({keys[i]: texts[i] for i in texts if keys[i] not in known}.items())
    for start in range(0, len(missing), EMBEDDING_SLICE):
        part = missing[start : start + EMBEDDING_SLICE]
        vectors = embedder.embed_passages([text for _, text in part])
        store.keep_vectors({key: v for (key, _), v in zip(part, vectors, strict=True)})
        progress(Progress(start + len(part), len(missing)))
    store.switch_embedder(embedder, keys)
    return len(texts)


def _files(sources: Sequence[Source], summary: IngestSummary) -> Iterator[_File]:
    for source in sources:
        path = source.path
        if path.is_dir():
            paths = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in loaders.SUFFIXES and p.is_file() and not _hidden(p, path)
            )
        elif not path.exists():
            summary.rejected.append(Rejection(str(path), "no such file or folder"))
            continue
        elif path.suffix.lower() not in loaders.SUFFIXES:
            summary.rejected.append(Rejection(str(path), "is neither .md nor .txt"))
            continue
        else:
            paths = [path]
        folder = path if path.is_dir() else path.parent
        for found in paths:
            name = found.relative_to(folder).with_suffix("").as_posix()
            document_id = source.prefix + unicodedata.normalize("NFC", name)
            yield _File(found, _root(source), document_id)


def _check_id(file: _File, known: Identity | None, seen: Collection[str]) -> None:
    if not file.document_id.isprintable():
        raise DocumentRejected("the file's name holds control characters")
    if file.document_id in seen:
        raise DocumentRejected(f"another file has the id {file.document_id} too")
    if known and known.root != file.root:
        raise DocumentRejected(
            f"the id {file.document_id} is taken by a document from {known.root}: name a collection"
        )


def _root(source: Source) -> str:
    folder = source.path if source.path.is_dir() else source.path.parent
    return source.root or str(folder.resolve())


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
