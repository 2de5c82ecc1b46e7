"""The files below what is to be ingested, and the ids of the documents they become."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from app.errors import DocumentRejected
from app.retrieval.extractors.formats import SUFFIXES, named_format
from app.retrieval.ingest_report import IngestSummary, Notice
from app.retrieval.records import Identity

MAX_NAME_CHARACTERS = 300
UPLOADED = "upload"
"""The root of what was sent without one."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder to ingest.

    `root` marks the documents as this source's: what vanished from a folder is
    deleted among its own only. Without one it is the folder's absolute path.
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


def all_files(
    sources: Sequence[Source], collection: str | None, summary: IngestSummary
) -> list[File]:
    """The readable files of all sources, one for each id, hidden ones left out.

    What is wrong with a source, or with a file, is noted in the summary.
    """
    found: dict[str, File] = {}
    for source in sources:
        try:
            for file in _files(source, collection):
                if _leads_out(file.path, source.path):
                    summary.rejected.append(Notice(str(file.path), "is a link out of the folder"))
                elif found.setdefault(file.document_id, file) != file:
                    said = f"another file has the id {file.document_id} too"
                    summary.rejected.append(Notice(str(file.path), said))
        except DocumentRejected as error:
            summary.rejected.append(Notice(str(source.path), str(error)))
    return list(found.values())


def folders(sources: Sequence[Source]) -> set[str]:
    """The roots of those sources that are folders: what vanished from them can be told."""
    return {_root(source) for source in sources if source.path.is_dir()}


def _files(source: Source, collection: str | None) -> list[File]:
    path = source.path
    if path.is_dir():
        paths = sorted(p for p in path.rglob("*") if _readable(p) and not _hidden(p, path))
    elif path.exists():
        named_format(path.name)
        paths = [path]
    else:
        raise DocumentRejected("no such file or folder")
    folder = path if path.is_dir() else path.parent
    return [
        File(found, _root(source), document_id(found.relative_to(folder), collection), _size(found))
        for found in paths
    ]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone, or not ours to look at: reading it says so
        return 0


def document_id(path: PurePath, collection: str | None) -> str:
    """The id of the document in a file: its path below its folder, without the extension."""
    name = unicodedata.normalize("NFC", path.with_suffix("").as_posix())
    return f"{collection}/{name}" if collection else name


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


def check_id(file: File, known: Identity | None, *, force: bool) -> None:
    """Raises `DocumentRejected` for an id that is no text, or is another source's.

    With `force` another source's document is replaced.
    """
    if not file.document_id.isprintable():
        raise DocumentRejected("the file's name holds control characters")
    if known and known.root != file.root and not force:
        raise DocumentRejected(
            f"the id {file.document_id} is taken by a document from {known.root}: "
            "name a collection, or force it to be replaced"
        )


def _root(source: Source) -> str:
    folder = source.path if source.path.is_dir() else source.path.parent
    return source.root or str(folder.resolve())


def _readable(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _leads_out(path: Path, source: Path) -> bool:
    # What lies elsewhere was not offered: a link to /etc would be served to everybody.
    return source.is_dir() and not path.resolve().is_relative_to(source.resolve())


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
