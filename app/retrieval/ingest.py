"""Files and folders into the store and its indexes: what is unchanged costs nothing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Literal

from app.errors import DocumentRejected, VectorsUnavailable
from app.retrieval import loaders
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.ingest_report import (
    Ingested,
    IngestSummary,
    Meter,
    Notice,
    Progress,
    ProgressCallback,
)
from app.retrieval.options import IngestOptions
from app.retrieval.preparation import Prepared
from app.retrieval.reader import Reader, start_child
from app.retrieval.records import Document
from app.retrieval.sources import File, Source, check_id, check_name, check_not_taken, survey
from app.retrieval.store import Store, vector_key
from app.retrieval.warnings import DocumentWarning, encoded
from app.sandbox import Child

# Some ten seconds of embedding: how long a stop may take.
EMBEDDING_SLICE = 64


class Stopped(Exception):
    """The ingest was told to stop; nothing of the file at hand was stored."""


class Ingester:
    """Brings the knowledge base up to files. Calls block; one ingest at a time.

    `stop` is asked between two files, or slices of a long one, and ends the work. `start`
    gives the process in which files are read, when one is needed.
    """

    def __init__(
        self,
        store: Store,
        dense: DenseSearch,
        embedder: Embedder,
        shipped: Mapping[str, Vectors],
        stop: Callable[[], bool],
        start: Callable[[], Child] = start_child,
    ) -> None:
        self._store = store
        self._dense = dense
        self._embedder = embedder
        self._shipped = shipped
        self._stop = stop
        self._reader = Reader(start)

    def interrupt(self) -> None:
        """End the reading of a file, from another thread, when nobody waits for it any more."""
        self._reader.stop()

    def run(
        self, sources: Sequence[Source], options: IngestOptions, progress: ProgressCallback
    ) -> IngestSummary:
        """Ingest the sources, and delete what vanished from the folders among them."""
        found = survey(sources, options.collection, self._store.identities())
        summary = IngestSummary(rejected=found.rejected, skipped=found.skipped)
        meter = Meter([file.size for file in found.files], progress)
        taken: set[str] = set()
        with self._reader as reader:
            for file in found.files:
                path = str(file.path)
                try:
                    check_not_taken(file, taken)
                    content = loaders.read_file(file.path)
                    told = partial(meter.part, path)
                    added = self.add(file, content, options, reader, found.vanished, told)
                    summary.count(path, added)
                    taken.add(file.document_id)
                except (DocumentRejected, VectorsUnavailable) as error:
                    summary.rejected.append(Notice(path, str(error)))
                except Stopped:
                    return summary
                meter.file(path)
        for document_id in found.vanished:
            self._dense.write(partial(self._store.delete_document, document_id))
            summary.deleted += 1
        if summary.added or summary.changed or summary.deleted:
            self._store.merge_words()
        summary.mark_successors(self._store.identities())
        return summary

    def add_upload(self, file: File, content: bytes, options: IngestOptions) -> Ingested:
        """Index what was sent; a document of another access group is never replaced.

        Raises `DocumentRejected` and `Stopped`.
        """
        known = self._store.document(file.document_id)
        others = options.only_own and known is not None and known.root != file.root
        if known and (known.access != options.access or others):
            raise DocumentRejected(f"the id {file.document_id} is taken: name a collection")
        with self._reader as reader:
            return self.add(file, content, options, reader)

    def add(
        self,
        file: File,
        content: bytes,
        options: IngestOptions,
        reader: Reader,
        vanished: Collection[str] = (),
        embedded: Callable[[float], None] = lambda _: None,
    ) -> Ingested:
        """Index one file in the place of what has its id, if anything.

        A duplicate of a document that has `vanished` is that document, moved. `embedded`
        is told the share that is done of a long file. Raises `DocumentRejected` and
        `Stopped`.
        """
        check_name(file)
        known = self._store.identity(file.document_id)
        check_id(file, known, force=options.force)
        content_hash = loaders.content_hash(content, options)
        if known and known.content_hash == content_hash:
            return Ingested(file.document_id, "unchanged")
        prepared = reader.prepare(content, file.path.name, force=options.force)
        self._check_predecessor(file, options.supersedes or prepared.loaded.supersedes, options)
        found = self._pass_gate(file.document_id, prepared, options, vanished)
        document = _document(file, prepared, options, content_hash, found)
        chunks = prepared.chunks
        keys = [vector_key(self._embedder.name, chunk.embedded_text) for chunk in chunks]
        texts = {key: chunk.embedded_text for key, chunk in zip(keys, chunks, strict=True)}
        vectors = self._vectors(texts, embedded)
        self._dense.write(
            partial(
                self._store.replace_document,
                document,
                chunks,
                keys,
                vectors,
                prepared.findings.fingerprint,
            )
        )
        change: Literal["changed", "added"] = "changed" if known else "added"
        marks = tuple(map(str, found))
        return Ingested(file.document_id, change, len(chunks), marks, document.supersedes)

    def _check_predecessor(
        self, file: File, predecessor: str | None, options: IngestOptions
    ) -> None:
        """Raises `DocumentRejected` where another's document would be superseded, or none."""
        if predecessor is None or not options.only_own:
            return
        known = self._store.identity(predecessor)
        if known is None or known.root != file.root:
            raise DocumentRejected(f"may not supersede {predecessor:.100}: it is none of its own")

    def _pass_gate(
        self,
        document_id: str,
        prepared: Prepared,
        options: IngestOptions,
        vanished: Collection[str],
    ) -> tuple[DocumentWarning, ...]:
        """The warnings of a file that may pass. Raises `DocumentRejected` for one that may not."""
        findings = prepared.findings
        faults, warnings = list(findings.faults), list(prepared.warnings)
        predecessor = options.supersedes or prepared.loaded.supersedes
        if predecessor and self._store.is_superseded_by(document_id, predecessor):
            # Forced, neither would be found any more.
            raise DocumentRejected(
                f"supersedes {predecessor}, which supersedes it in turn: change one of the two"
            )
        others = {document_id, *vanished} | ({predecessor} if predecessor else set())
        twin = self._store.closest_document(findings.fingerprint, options.access, others)
        if twin and twin.share == 1:
            faults.append(f"has the same words as {twin.document_id}")
        elif twin:
            detail = f"is nearly the same as {twin.document_id} ({twin.share:.0%})"
            warnings.append(DocumentWarning("content", detail))
        if faults and not options.force:
            raise DocumentRejected(f"{'; '.join(faults)} (force it to be indexed all the same)")
        return (*(DocumentWarning("content", fault) for fault in faults), *warnings)

    def _vectors(
        self, texts: Mapping[str, str], told: Callable[[float], None]
    ) -> dict[str, Vectors]:
        """A vector for each key: shipped, stored, or embedded now, before any transaction.

        What is embedded of a long file is kept at once, so that an ingest that is killed
        goes on from there.
        """
        shipped = {key: self._shipped[key] for key in texts if key in self._shipped}
        found = shipped | self._store.known_vectors(texts.keys() - shipped.keys())
        missing = [key for key in texts if key not in found]
        for start in range(0, len(missing), EMBEDDING_SLICE):
            if self._stop():
                raise Stopped
            keys = missing[start : start + EMBEDDING_SLICE]
            vectors = self._embedder.embed_passages([texts[key] for key in keys])
            embedded = dict(zip(keys, vectors, strict=True))
            if len(missing) > EMBEDDING_SLICE:
                self._store.keep_vectors(embedded)
                told((start + len(keys)) / len(missing))
            found |= embedded
        return found


def _document(
    file: File,
    prepared: Prepared,
    options: IngestOptions,
    content_hash: str,
    warnings: Sequence[DocumentWarning],
) -> Document:
    loaded = prepared.loaded
    return Document(
        id=file.document_id,
        root=file.root,
        title=loaded.title,
        language=loaded.language,
        content_hash=content_hash,
        text=loaded.text,
        uri=loaded.uri,
        source=loaded.source,
        effective_date=options.effective_date or loaded.effective_date,
        checked=loaded.checked,
        collection=options.collection,
        access=options.access,
        supersedes=options.supersedes or loaded.supersedes,
        jurisdiction=prepared.findings.jurisdiction,
        marks=encoded(warnings),
    )


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
