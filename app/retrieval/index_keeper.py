"""Sees to it that the embedded index can be opened: else it is set aside and built anew.

The index lies in `DATA_DIR/chroma`. A new one is built beside it and moved in when
it is whole.
"""

import logging
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from app.errors import VectorsUnavailable
from app.retrieval import seal
from app.retrieval.index_child import IndexChild
from app.retrieval.index_process import IndexProcess, Task
from app.retrieval.seal import Seal
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy

logger = logging.getLogger(__name__)

DIRECTORY = "chroma"
_NEW = f"{DIRECTORY}.new"
_BROKEN = f"{DIRECTORY}.broken-"

# So many rows are written in a second: not worth a process of their own.
_FEW_ROWS = 1_000
# Rows in Chroma's log are put into the graph at every start, at a millisecond each.
_MAX_LOG_ROWS = 500
# SQLite's words. A client that was closed lets go of the files late on a busy machine: no damage.
_LOCKED = "database is locked"


class IndexKeeper:
    """Keeps the index of one data directory, for one process. Calls block."""

    def __init__(self, data_dir: Path, store: Store, made_by: MadeBy) -> None:
        # The children run in another folder than the one it may be relative to.
        self._data_dir = data_dir.resolve()
        self._directory = self._data_dir / DIRECTORY
        self._store = store
        self._made_by = made_by
        self._process = IndexProcess()

    def make_sound(self) -> None:
        """Have an index in place that can be opened, if it takes minutes.

        Raises `VectorsUnavailable`.
        """
        try:
            shutil.rmtree(self._data_dir / _NEW, ignore_errors=True)
            reason = self._what_is_wrong()
            if reason:
                logger.warning("the vector index %s: rebuilding it", reason)
                self._set_aside()
            if not self._directory.exists() and self._store.stats().chunks > _FEW_ROWS:
                self._build()
        except OSError as error:
            raise VectorsUnavailable(f"the directory of the index: {error}") from error

    def open(self) -> IndexChild:
        """Open the index, which may lag behind the store. Raises `VectorsUnavailable`."""
        try:
            seal.remove(self._directory)
            return IndexChild(self._directory, self._data_dir, self._made_by)
        except OSError as error:
            raise VectorsUnavailable(f"the directory or process of the index: {error}") from error

    def seal(self) -> None:
        """Note what the files of an index are that has been closed."""
        try:
            seal.write(self._directory)
        except OSError as error:
            logger.warning("the index is not sealed, the next start will examine it: %s", error)

    def discard(self) -> None:
        """Set aside an index that failed in use. Raises `VectorsUnavailable`."""
        try:
            self._set_aside()
        except OSError as error:
            raise VectorsUnavailable(f"the directory of the index: {error}") from error

    def stop(self) -> None:
        """End a check or a build that runs."""
        self._process.stop()

    def _what_is_wrong(self) -> str:
        """Empty when nothing is, or there is no index."""
        if not self._directory.exists():
            return ""
        state = seal.examine(self._directory)
        if state is Seal.DAMAGED:
            return "was damaged after it was closed"
        try:
            if state is Seal.WHOLE and self._log_rows() <= _MAX_LOG_ROWS:
                return ""
            off = self._check()
        except VectorsUnavailable as error:
            if self._process.stopped or _LOCKED in str(error):
                raise
            return f"cannot be used ({error})"
        return f"differs from the store by {off} rows" if off > _FEW_ROWS else ""

    def _check(self) -> int:
        """How many rows the index lacks or has too many."""
        task = self._task("check", self._directory)
        try:
            return self._process.run(task)
        except VectorsUnavailable as error:
            if _LOCKED not in str(error):
                raise
        return self._process.run(task)

    def _build(self) -> None:
        new = self._data_dir / _NEW
        try:
            off = self._process.run(self._task("build", new))
        except VectorsUnavailable:
            # If the disk is full, what was set aside is what fills it.
            for path in (new, *self._data_dir.glob(f"{_BROKEN}*")):
                shutil.rmtree(path, ignore_errors=True)
            raise
        new.rename(self._directory)
        logger.info("the vector index is rebuilt, and lacks %d rows that came meanwhile", off)

    def _task(self, mode: str, directory: Path) -> Task:
        store_id = self._store.id
        return Task(mode, str(directory), str(self._data_dir), store_id, self._made_by)

    def _set_aside(self) -> None:
        if not self._directory.exists():
            return
        for earlier in self._data_dir.glob(f"{_BROKEN}*"):
            # One is enough to look into; a disk that fails again and again must not fill up.
            shutil.rmtree(earlier)
        kept = self._data_dir / f"{_BROKEN}{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        self._directory.rename(kept)
        logger.warning("the unusable vector index is kept in %s", kept)

    def _log_rows(self) -> int:
        file = f"{(self._directory / 'chroma.sqlite3').as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(file, uri=True)) as connection:
                row = connection.execute("SELECT count(*) FROM embeddings_queue").fetchone()
        except sqlite3.Error as error:
            raise VectorsUnavailable(f"the index: {error}") from error
        return int(row[0])
