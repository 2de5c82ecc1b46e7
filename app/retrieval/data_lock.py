"""One process per data directory, and one per directory of Chroma's.

Two processes that wrote one Chroma directory reported no error, and 66 of 400
vectors were not found afterwards.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import DataDirInUse, StorageFailed
from app.private_files import keep_private


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the directory for the length of the block; the kernel lets go if we are killed.

    Its files are made their owner's alone.

    Raises `DataDirInUse` when another process holds it, `StorageFailed` when it cannot
    be written.
    """
    try:
        keep_private(data_dir)
        file = (data_dir / "lock").open("w")
    except OSError as error:
        raise StorageFailed(
            f"DATA_DIR {data_dir} cannot be written ({error.strerror}): let this user write there, "
            "or name another directory"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirInUse(
                f"DATA_DIR {data_dir} is in use by another process: stop it, or give this one "
                "another DATA_DIR"
            ) from error
        yield


def check_not_in_use(data_dir: Path) -> None:
    """Check that no other process holds the directory. Raises as `exclusive` does."""
    with exclusive(data_dir):
        pass


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Hold an index's directory, made where there is none; waits for whoever holds it.

    A killed service's own process may still be at work there. Raises `OSError`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
