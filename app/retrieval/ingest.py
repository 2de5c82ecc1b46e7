"""Files and folders into the store and its indexes: what is unchanged costs nothing.

A document is in the store with its words when it is written; `VectorWorker` embeds its passages
afterwards.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Literal

from app.errors import DocumentRejected
from app.limits import FairQueue, caller_name
from app.retrieval import loaders
from app.retrieval.dense import DenseSearch
from app.retrieval.embedder import Embedder, Vectors
from app.retrieval.ingest_report import (
    Ingested,
    IngestSummary,
    Meter,
    Notice,
    ProgressCallback,
)
from app.retrieval.options import IngestOptions
from app.retrieval.preparation import Prepared
from app.retrieval.reader import Reader, reads_here, start_child
from app.retrieval.records import Change, Document
from app.retrieval.sources import (
    File,
    Source,
    check_id,
    check_name,
    check_not_taken,
    read_file,
    survey,
)
from app.retrieval.store import Store, vector_key
from app.retrieval.warnings import DocumentWarning, encoded
from app.sandbox import Child

MAX_PASSAGES = 20_000
"""Of a document: the largest law of the corpus has 3,000."""
_ROOM_BYTES = 64_000_000
"""Of files that one caller has waiting to be read: three of the largest."""
_ROOM_PASSAGES = 100_000
_FILE_BYTES = 64 * 1024
"""What reading a file costs besides its bytes."""


class Turns:
    """Whose file is read next, and whose document is written."""

    def __init__(self) -> None:
        # A hostile file takes its reader a minute: others' are read meanwhile.
        self._reading = FairQueue("read", capacity=1, reserve=2, room=_ROOM_BYTES)
        self._reading_here = FairQueue("read", capacity=1, room=_ROOM_BYTES)
        # A large document takes seconds: others' are written meanwhile, slice by slice in turn.
        self._writing = FairQueue("written", capacity=1, reserve=3, room=_ROOM_PASSAGES)

    async def read(self, reader: Reader, content: bytes, name: str, *, force: bool) -> Prepared:
        """Read a file at its caller's turn; no longer than it is waited for."""
        here = reads_here(content, name, force=force)
        queue = self._reading_here if here else self._reading
        work = partial(reader.prepare, content, name, force=force)
        try:
            return await queue.run(caller_name.get(), _FILE_BYTES + len(content), work)
        except asyncio.CancelledError:
            reader.stop()
            raise

    async def write(self, passages: int, work: "partial[Ingested]") -> Ingested:
        """Write a document at its caller's turn."""
        return await self._writing.run(caller_name.get(), 1 + passages, work)

    def close(self) -> None:
        """Start nothing more; blocks until what is being written is."""
        self._reading.close()
        self._reading_here.close()
        self._writing.close(wait=True)


class Ingester:
    """Brings the knowledge base up to files. For one event loop."""

    def __init__(
        self,
        store: Store,
        dense: DenseSearch,
        embedder: Embedder,
        turns: Turns,
        shipped: Mapping[str, Vectors] = MappingProxyType({}),
        start: Callable[[], Child] = start_child,
    ) -> None:
        """`shipped` holds vectors by key that need not be embedded; `start` starts a reader."""
        self._store = store
        self._dense = dense
        self._embedder = embedder
        self._turns = turns
        self._shipped = shipped
        self._start = start

    async def run(
        self, sources: Sequence[Source], options: IngestOptions, progress: ProgressCallback
    ) -> IngestSummary:
        """Ingest the sources, and delete what vanished from the folders among them."""
        known = await asyncio.to_thread(self._store.identities)
        found = await asyncio.to_thread(survey, sources, options.collection, known)
        summary = IngestSummary(rejected=found.rejected, skipped=found.skipped)
        meter = Meter([file.size for file in found.files], progress)
        taken: set[str] = set()
        async with _reader(self._start) as reader:
            for file in found.files:
                path = str(file.path)
                try:
                    check_not_taken(file, taken)
                    content = await asyncio.to_thread(read_file, file.path)
                    added = await self._add(file, content, options, reader, found.vanished)
                    summary.count(path, added)
                    taken.add(file.document_id)
                except DocumentRejected as error:
                    summary.rejected.append(Notice(path, str(error)))
                meter.file(path)
        for document_id in found.vanished:
            await asyncio.to_thread(self.delete, document_id)
            summary.deleted += 1
        if summary.added or summary.changed or summary.deleted:
            await asyncio.to_thread(self._store.merge_words)
        summary.mark_successors(await asyncio.to_thread(self._store.identities))
        return summary

    async def add_upload(self, file: File, content: bytes, options: IngestOptions) -> Ingested:
        """Index what was sent; a document of another access group is never replaced.

        Raises `DocumentRejected` and `TooMuchWaiting`.
        """
        async with _reader(self._start) as reader:
            return await self._add(file, content, options, reader, sent=True)

    def delete(self, document_id: str) -> bool:
        """Forget a document; False when there is none. Blocks, and waits for no ingest."""
        return bool(self._dense.write(partial(self._store.delete_document, document_id)))

    async def _add(
        self,
        file: File,
        content: bytes,
        options: IngestOptions,
        reader: Reader,
        vanished: Collection[str] = (),
        *,
        sent: bool = False,
    ) -> Ingested:
        """Index one file in the place of what has its id, if anything.

        A duplicate of a document that has `vanished` is that document, moved. Raises
        `DocumentRejected`.
        """
        check_name(file)
        content_hash = await asyncio.to_thread(loaders.content_hash, content, options)
        is_there = partial(self._is_there, file, content_hash, options, sent=sent)
        if await asyncio.to_thread(is_there):
            return Ingested(file.document_id, "unchanged")
        prepared = await self._turns.read(reader, content, file.path.name, force=options.force)
        count = len(prepared.chunks)
        if count > MAX_PASSAGES:
            raise DocumentRejected(
                f"has {count:,} passages; a document has at most {MAX_PASSAGES:,}: split it"
            )

        def write() -> Ingested:
            if is_there():  # written meanwhile
                return Ingested(file.document_id, "unchanged")
            return self._write(file, prepared, options, content_hash, vanished, is_there)

        return await self._turns.write(count, partial(write))

    def _is_there(
        self, file: File, content_hash: str, options: IngestOptions, *, sent: bool
    ) -> bool:
        """Whether the file is stored as it is. Raises `DocumentRejected` where it may not be."""
        known = self._store.identity(file.document_id)
        check_id(file, known, force=options.force)
        if known and sent:
            others = options.only_own and known.root != file.root
            if known.access != options.access or others:
                raise DocumentRejected(f"the id {file.document_id} is taken: name a collection")
        return known is not None and known.content_hash == content_hash

    def _write(
        self,
        file: File,
        prepared: Prepared,
        options: IngestOptions,
        content_hash: str,
        vanished: Collection[str],
        is_there: Callable[[], bool],
    ) -> Ingested:
        found = self._pass_gate(file, prepared, options, vanished)
        document = _document(file, prepared, options, content_hash, found)
        known = self._store.identity(file.document_id)
        chunks = prepared.chunks
        keys = [vector_key(self._embedder.name, chunk.embedded_text) for chunk in chunks]
        shipped = {key: self._shipped[key] for key in keys if key in self._shipped}
        fingerprint, caller = prepared.findings.fingerprint, caller_name.get()
        with self._store.draft(document, chunks, keys, shipped, fingerprint, caller) as draft:

            def publish() -> Change | None:
                # Once more: others' documents were written meanwhile.
                if is_there():
                    return None
                self._pass_gate(file, prepared, options, vanished)
                return self._store.publish(draft)

            if self._dense.write(publish) is None:
                return Ingested(file.document_id, "unchanged")
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
        file: File,
        prepared: Prepared,
        options: IngestOptions,
        vanished: Collection[str],
    ) -> tuple[DocumentWarning, ...]:
        """The warnings of a file that may pass. Raises `DocumentRejected` for one that may not."""
        document_id, findings = file.document_id, prepared.findings
        faults, warnings = list(findings.faults), list(prepared.warnings)
        predecessor = options.supersedes or prepared.loaded.supersedes
        self._check_predecessor(file, predecessor, options)
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


@asynccontextmanager
async def _reader(start: Callable[[], Child]) -> AsyncIterator[Reader]:
    """A reader whose process is ended, by a thread, when it is done with."""
    reader = Reader(start)
    try:
        yield reader
    finally:
        await asyncio.shield(asyncio.to_thread(reader.close))


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
