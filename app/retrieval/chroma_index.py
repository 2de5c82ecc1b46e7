"""Approximate search in large partitions, by Chroma in a child process.

The index is a snapshot of the store that may be older than it: whoever asks compares what came
later, and passes over what is gone. It is disposable. When anything fails, the process is ended
and the files are removed; all vectors are compared until the index is built again.
"""

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import ChildFailed
from app.retrieval.chroma_process import Close, Refresh, Search
from app.retrieval.embedder import Vectors
from app.retrieval.records import Neighbour, Partition
from app.sandbox import Child, Limits

logger = logging.getLogger(__name__)

LARGE = 100_000
"""Vectors of a partition. Comparing so many takes 5 ms of a processor, and 17 of a slow one."""
STALE = 10_000
"""Vectors that came after the snapshot, until it is made again: they are compared in 0.5 ms."""

_DIRECTORY = "chroma"
# The directories of earlier versions, which took up to twice the room.
_LEFT_OVER = ("chroma.new", "chroma.broken-*")
_RETRY_S = 60.0
_BUILD_LIMIT_S = 4 * 3600.0
_CLOSE_LIMIT_S = 10.0
# A search takes 5 ms, and 35 when the disk has to be read; a question waits for 3 s at the most.
_LIMITS = Limits(time_s=2.0, confined=False)


class Approximate(NamedTuple):
    """What Chroma found in a partition, nearest first, and the ids of all chunks that it holds."""

    nearest: list[Neighbour]
    held: NDArray[np.int64]


class ChromaIndex:
    """Answers for large partitions. Calls block, but for `partitions`.

    Args:
        data_dir: Where the store is; the index lies in a directory of it.
        made_by: Names the store and the embedder. An index of others is built again.
    """

    def __init__(self, data_dir: Path, made_by: str) -> None:
        # The child runs in another folder than the one that it may be relative to.
        self._data_dir = data_dir.resolve()
        self._made_by = made_by
        # Held while the child is started, asked or ended: for minutes while the index is built.
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._held: Mapping[Partition, NDArray[np.int64]] = {}
        self._sizes: Mapping[Partition, int] | None = None
        self._retry_at = 0.0
        self._closing = False

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions that it answers for now."""
        return frozenset(self._held)

    def keep_up(self, sizes: Mapping[Partition, int]) -> None:
        """Build the index or take in what is new, where that is due. Minutes may pass.

        Args:
            sizes: How many vectors each partition has.
        """
        large = {partition: size for partition, size in sizes.items() if size > LARGE}
        if not self._is_due(large):
            return
        self._held = {}
        with self._lock:
            if not large:
                self._end()
                self._remove()
                self._sizes = {}
                return
            try:
                self._held = self._refreshed(list(large))
            except (ChildFailed, OSError) as error:
                self._give_up(error)
            else:
                self._sizes = large
                logger.info("the vector index holds %d vectors", sum(map(len, self._held.values())))

    def search(
        self, vectors: Mapping[Partition, Vectors], limit: int
    ) -> dict[Partition, Approximate]:
        """Find what is nearest to the vector of each partition, `limit` chunks at the most.

        Returns:
            What was found by partition; nothing when the index fails or is being built.
        """
        if not self._lock.acquire(timeout=_LIMITS.time_s):
            return {}
        try:
            held = self._held
            if self._child is None or not vectors.keys() <= held.keys():
                return {}
            queries = [(partition, vector.tobytes()) for partition, vector in vectors.items()]
            found = self._child.ask(Search(queries, limit), list[list[Neighbour]])
            return {
                partition: Approximate(nearest, held[partition])
                for partition, nearest in zip(vectors, found, strict=True)
            }
        except ChildFailed as error:
            self._give_up(error)
            return {}
        finally:
            self._lock.release()

    def stop(self) -> None:
        """End a build that runs; `close` is to follow."""
        self._closing = True
        if (child := self._child) and not self._held:
            child.kill()

    def close(self) -> None:
        """Close the index, cleanly if it is whole, and end the process."""
        self.stop()
        with self._lock:
            if self._child and self._held:
                with suppress(ChildFailed):  # it is built again then
                    self._child.ask(Close(), bool, _CLOSE_LIMIT_S)
            self._end()

    def _is_due(self, large: Mapping[Partition, int]) -> bool:
        if self._closing or time.monotonic() < self._retry_at:
            return False
        sizes = self._sizes
        if sizes is None or sizes.keys() != large.keys():
            return True
        return any(not 0 <= large[each] - size <= STALE for each, size in sizes.items())

    def _refreshed(self, partitions: list[Partition]) -> dict[Partition, NDArray[np.int64]]:
        if self._child is None:
            self._child = Child("app.retrieval.chroma_process", _LIMITS)
        if self._closing:
            self._child.kill()
        directory = self._data_dir / _DIRECTORY
        request = Refresh(str(directory), str(self._data_dir), self._made_by, partitions)
        held = self._child.ask(request, list[bytes], _BUILD_LIMIT_S)
        return {
            partition: np.frombuffer(ids, np.int64)
            for partition, ids in zip(partitions, held, strict=True)
        }

    def _give_up(self, error: Exception) -> None:
        """End the process and remove the files: they may be damaged, or fill the disk."""
        self._held, self._sizes = {}, None
        self._retry_at = time.monotonic() + _RETRY_S
        self._end()
        if not self._closing:
            self._remove()
            # Of a traceback the last line tells most.
            reason = (
                getattr(error, "traceback", "").strip().rpartition("\n")[2] or f"Chroma {error}"
            )
            logger.warning(
                "the vector index failed, all vectors are compared until it is built again: %s",
                reason,
            )

    def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            child.close()

    def _remove(self) -> None:
        for pattern in (_DIRECTORY, *_LEFT_OVER):
            for path in self._data_dir.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
