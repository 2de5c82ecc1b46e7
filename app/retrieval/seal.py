"""What the files of an index were when it was last closed: any later damage shows.

A truncated header gives fewer results without an error, and a zeroed file ends the
process that opens it: so the files are looked at before Chroma is given them. The
seal is broken when the index is opened, and set again when it is closed; an index
without one was in use when its process died.
"""

import json
from enum import Enum, auto
from hashlib import file_digest
from pathlib import Path

_FILE = "seal.json"


class Seal(Enum):
    """What a directory's seal tells."""

    ABSENT = auto()
    WHOLE = auto()
    DAMAGED = auto()


def examine(directory: Path) -> Seal:
    """Compare the files with the seal: some 0.3 s a gigabyte. Raises `OSError`."""
    seal = directory / _FILE
    if not seal.exists():
        return Seal.ABSENT
    # A damaged seal matches nothing, whatever it holds.
    return Seal.WHOLE if seal.read_bytes() == _digests(directory) else Seal.DAMAGED


def write(directory: Path) -> None:
    """Seal a closed index. Raises `OSError`."""
    (directory / _FILE).write_bytes(_digests(directory))


def remove(directory: Path) -> None:
    """Break the seal, for use. Raises `OSError`."""
    (directory / _FILE).unlink(missing_ok=True)


def _digests(directory: Path) -> bytes:
    digests = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path != directory / _FILE:
            with path.open("rb") as file:
                digest = file_digest(file, "blake2b").hexdigest()
            digests[path.relative_to(directory).as_posix()] = digest
    return json.dumps(digests).encode()
