"""Files and folders into the store and its indexes: what is unchanged costs nothing."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from app.errors import DocumentRejected
from app.retrieval import loaders
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.ingest_report import IngestSummary, Progress, ProgressCallback, Rejection
from app.retrieval.reader import Reader
from app.retrieval.records import Document, Identity
from app.retrieval.sources import File, Source, check_id, files, root_of
from app.retrieval.store import Store, vector_key

# Some ten seconds of embedding: how long a stop may take.
EMBEDDING_SLICE = 64


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
        files = _files(sources, summary)
        seen: set[str] = set()
        with Reader() as reader:
            for done, file in enumerate(files, start=1):
                try:
                    check_id(file, known.get(file.document_id), seen)
                    seen.add(file.document_id)
                    self._ingest(file, known.get(file.document_id), reader, summary, stop)
                except DocumentRejected as error:
                    summary.rejected.append(Rejection(str(file.path), str(error)))
                if stop():
                    return summary
                progress(Progress(done, len(files), str(file.path)))
        folders = {root_of(source) for source in sources if source.path.is_dir()}
        for document_id, identity in known.items():
            if identity.root in folders and document_id not in seen:
                self._dense.write(partial(self._store.delete_document, document_id))
                summary.deleted += 1
        return summary

    def _ingest(
        self,
        file: File,
        known: Identity | None,
        reader: Reader,
        summary: IngestSummary,
        stop: Callable[[], bool],
    ) -> None:
        content = loaders.read_file(file.path)
        content_hash = loaders.content_hash(content)
        if known and known.content_hash == content_hash:
            summary.unchanged += 1
            return
        prepared = reader.prepare(content, file.path.name)
        loaded, chunks = prepared.loaded, prepared.chunks
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
            supersedes=loaded.supersedes,
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


def _files(sources: Sequence[Source], summary: IngestSummary) -> list[File]:
    found: list[File] = []
    for source in sources:
        try:
            found += files(source)
        except DocumentRejected as error:
            summary.rejected.append(Rejection(str(source.path), str(error)))
    return found
