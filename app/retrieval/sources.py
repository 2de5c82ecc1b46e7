"""The files below what is to be ingested, and the ids of the documents they become.

A document's id is its file's path below the folder that was ingested, and stays so: a
file or a folder within one that was ingested before, of the same collection, is a part
of that one. A document whose file is gone is deleted when a folder is ingested
that its file stood in, and never one of another collection.
"""

import unicodedata
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from app.errors import DocumentRejected
from app.retrieval.extractors.formats import SUFFIXES, named_format
from app.retrieval.ingest_report import Notice
from app.retrieval.records import Identity

MAX_NAME_CHARACTERS = 300
MAX_BYTES = 20 * 1024 * 1024
UPLOADED = "upload"
"""The root of what was sent without one."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder to ingest.

    `root` marks the documents as this source's. Without one it is the absolute path of
    the folder, or of the file, or of an ingested folder round it.
    """

    path: Path
    root: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file to ingest, and the id of its document; `root` as its source has it.

    `size` is in bytes.
    """

    path: Path
    root: str
    document_id: str
    size: int = 0


@dataclass(slots=True)
class Survey:
    """What is to be done: `files` in order, of which several may have one id.

    `vanished` holds the ids of documents whose files are gone. `skipped` are files in
    formats that are not read, `rejected` what else is wrong with a source or a file.
    """

    files: list[File] = field(default_factory=list)
    vanished: set[str] = field(default_factory=set)
    skipped: list[Notice] = field(default_factory=list)
    rejected: list[Notice] = field(default_factory=list)


def survey(
    sources: Sequence[Source], collection: str | None, known: Mapping[str, Identity]
) -> Survey:
    """The files of all sources, hidden ones left out, against the documents that are known."""
    whole = Survey()
    ours = {i: identity for i, identity in known.items() if identity.collection == collection}
    for source in sources:
        try:
            part = _survey(source, collection, ours)
        except DocumentRejected as error:
            whole.rejected.append(Notice(str(source.path), str(error)))
        else:
            whole.files += part.files
            whole.vanished |= part.vanished
            whole.skipped += part.skipped
            whole.rejected += part.rejected
    # Given twice, a file is there once.
    whole.files = list(dict.fromkeys(whole.files))
    whole.vanished -= {file.document_id for file in whole.files}
    return whole


def _survey(source: Source, collection: str | None, known: Mapping[str, Identity]) -> Survey:
    path = source.path
    if not path.exists():
        raise DocumentRejected("no such file or folder")
    root, below = _place(source, known)
    if not path.is_dir():
        named_format(path.name)
        return Survey([_file(path, root, below / path.name, collection)])
    found = Survey()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p, path)):
        if _leads_out(file, path):
            found.rejected.append(Notice(str(file), "is a link out of the folder"))
        elif file.suffix.lower() in SUFFIXES:
            found.files.append(_file(file, root, below / file.relative_to(path), collection))
        else:
            found.skipped.append(Notice(str(file), _why_skipped(file)))
    found.vanished = _documents_of(source, root, _name(below, collection), known)
    if found.vanished and not found.files:
        raise DocumentRejected(
            "holds no file that can be read: is it mounted? What came from it earlier "
            f"({len(found.vanished)}) is kept; `zantara delete --from` forgets it"
        )
    return found


def _place(source: Source, known: Mapping[str, Identity]) -> tuple[str, PurePath]:
    """The source's root, and the path of its folder below that."""
    if source.root:
        return source.root, PurePath()
    path = source.path
    folder = (path if path.is_dir() else path.parent).resolve()
    roots = {identity.root for identity in known.values()}
    # The outermost first.
    for outer in (*reversed(folder.parents), folder):
        if str(outer) in roots:
            return str(outer), folder.relative_to(outer)
    return str(folder if path.is_dir() else folder / path.name), PurePath()


def _documents_of(source: Source, root: str, name: str, known: Mapping[str, Identity]) -> set[str]:
    """The documents whose files stand, or stood, in the source's folder, of that name."""
    folder = None if source.root else str(source.path.resolve())
    inside = f"{name}/" if name else ""
    return {
        i
        for i, identity in known.items()
        if (identity.root == root and i.startswith(inside))
        or (folder and identity.root != root and is_within(identity.root, folder))
    }


def is_within(root: str, folder: str) -> bool:
    """Whether that root is the folder, or a file or folder in it."""
    return PurePath(root).is_absolute() and PurePath(root).is_relative_to(folder)


def _file(path: Path, root: str, below: PurePath, collection: str | None) -> File:
    return File(path, root, document_id(below, collection), _size(path))


def _why_skipped(path: Path) -> str:
    return f"{path.suffix or 'a file without an ending'} is not read"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone, or not ours to look at: reading it says so
        return 0


def document_id(path: PurePath, collection: str | None) -> str:
    """The id of the document in a file: its path below its folder, without the extension."""
    return _name(path.with_suffix(""), collection)


def _name(path: PurePath, collection: str | None) -> str:
    parts = (collection or "", *path.parts)
    return unicodedata.normalize("NFC", "/".join(filter(None, parts)))


def uploaded_file(name: str, collection: str | None, root: str) -> File:
    """A file that was sent under a name, which may hold folders.

    Raises `DocumentRejected` for a name that leads out of them, and for what no
    extractor reads.
    """
    path = PurePosixPath(name)
    is_plain = name.isprintable() and "\\" not in name and not path.is_absolute()
    if not is_plain or ".." in path.parts or not path.stem or len(name) > MAX_NAME_CHARACTERS:
        raise DocumentRejected(
            f"the file's name is not one like folder/file.pdf of at most {MAX_NAME_CHARACTERS} "
            "characters"
        )
    named_format(path.name)
    return File(Path(name), root, document_id(path, collection))


def check_name(file: File) -> None:
    """Raises `DocumentRejected` for a name that is no text: nothing can be kept under it."""
    if not file.document_id.isprintable():
        raise DocumentRejected("the file's name holds control characters or is not UTF-8")
    if any("\ud800" <= character <= "\udfff" for character in file.root):
        raise DocumentRejected("its folder's name is not UTF-8: rename it")


def check_id(file: File, known: Identity | None, *, force: bool) -> None:
    """Raises `DocumentRejected` for an id that is another source's.

    With `force` another source's document is replaced. The file's own document may
    have been ingested from another folder round it.
    """
    if known and not _same_place(known.root, file.root) and not force:
        raise DocumentRejected(
            f"the id {file.document_id} is taken by a document from {known.root}: "
            "name a collection, or force it to be replaced"
        )


def check_not_taken(file: File, taken: Container[str]) -> None:
    """Raises `DocumentRejected` when another file of this ingest has become that document."""
    if file.document_id in taken:
        raise DocumentRejected(f"another file has the id {file.document_id} too")


def _same_place(one: str, other: str) -> bool:
    return one == other or is_within(one, other) or is_within(other, one)


def _leads_out(path: Path, source: Path) -> bool:
    # What lies elsewhere was not offered: a link to /etc would be served to everybody.
    return source.is_dir() and not path.resolve().is_relative_to(source.resolve())


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def read_file(path: Path) -> bytes:
    """The file's bytes. Raises `DocumentRejected` when it is too large or unreadable."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentRejected(f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise DocumentRejected(f"larger than {MAX_BYTES // 1024**2} MB")
    return content
