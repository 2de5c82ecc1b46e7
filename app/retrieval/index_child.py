"""The embedded index in a process of its own, and how the one that serves asks it.

Chroma holds the interpreter while it writes, some 15 ms and more however few the rows are, and
some damage ends the process that opened it: neither is for the one that serves.
`python -m app.retrieval.index_child DESCRIPTOR DIRECTORY DATA_DIR EMBEDDER DIMENSION`.
"""

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from app.errors import StorageFailed, VectorsUnavailable
from app.retrieval.data_lock import alone_in
from app.retrieval.embedder import Vectors
from app.retrieval.records import Neighbour, Partition, StoredVector
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy, VectorIndex
from app.settings import CHILD_ENVIRONMENT, ROOT

# Until an answer: a portion of rows takes 50 ms, a search 5 (35 when the disk has to be read), a
# close a second. While one is waited for no search by meaning is answered, and no service ends.
_TIME_LIMIT_S = 15.0
# It begins with a look at all that the index has, and may take in 1,000 rows: some seconds.
_OPENING_LIMIT_S = 120.0
# Rows in a request: 64 take Chroma some 50 ms in a graph of 30,000, and a search waits for them.
_BATCH = 64
# A lock is not fair: without a pause between two requests nobody else would get it.
_PAUSE_S = 0.005


class IndexChild:
    """As `VectorIndex`, whose methods it calls there. Blocks; raises `VectorsUnavailable`."""

    def __init__(self, directory: Path, data_dir: Path, made_by: MadeBy) -> None:
        self._lock = threading.Lock()
        self._connection, theirs = Pipe()
        _bound(self._connection)
        arguments = map(str, (directory, data_dir, made_by.embedder, made_by.dimension))
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", __name__, str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env=CHILD_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Ctrl-C is for the service, which ends this process.
                start_new_session=True,
            )

    def search(
        self,
        vector: Vectors,
        limit: int,
        wanted: Callable[[Partition], bool],
        by_language: Mapping[str, Vectors],
    ) -> dict[Partition, list[Neighbour]]:
        """Nearest chunks; `wanted` is a method of something that can be sent."""
        found: dict[Partition, list[Neighbour]]
        found = self._ask("search", vector, limit, wanted, dict(by_language))
        return found

    def reconcile(self) -> int:
        """Make the index hold exactly the store's chunks; how many rows that took."""
        rows: int = self._ask("reconcile", limit_s=_OPENING_LIMIT_S)
        return rows

    def add(self, rows: Sequence[StoredVector]) -> None:
        """Put chunks in."""
        for start in range(0, len(rows), _BATCH):
            time.sleep(_PAUSE_S)
            self._ask("add", rows[start : start + _BATCH])

    def remove(self, chunk_ids: Mapping[Partition, Sequence[int]]) -> None:
        """Take chunks out."""
        for partition, ids in chunk_ids.items():
            for start in range(0, len(ids), _BATCH):
                time.sleep(_PAUSE_S)
                self._ask("remove", {partition: ids[start : start + _BATCH]})

    def kill(self) -> None:
        """End it whatever it does; for another thread than the one that waits for it."""
        self._process.kill()

    def close(self) -> None:
        """End the process; raises when it did not end well."""
        with self._lock:
            self._connection.close()
            try:
                code = self._process.wait(_TIME_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
        if code:
            raise VectorsUnavailable(f"the process of the index ended with code {code}")

    def _ask(self, method: str, *arguments: Any, limit_s: float | None = None) -> Any:
        with self._lock:
            try:
                self._connection.send((method, arguments))
                if not self._connection.poll(limit_s or _TIME_LIMIT_S):
                    self._process.kill()
                answer = self._connection.recv()
            except (EOFError, OSError) as error:
                self._process.kill()  # it may hang, or have got half of what was sent
                code = self._process.wait()
                raise VectorsUnavailable(
                    f"the process of the index ended with code {code}"
                ) from error
        if isinstance(answer, VectorsUnavailable):
            raise answer
        return answer


def _bound(connection: Connection) -> None:
    """Let nothing wait longer than the limit: a process that hangs may not even read."""
    limit = struct.pack("ll", int(_TIME_LIMIT_S), int(_TIME_LIMIT_S % 1 * 1e6))
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        for what in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, what, limit)


def _serve(connection: Connection, index: VectorIndex, store: Store) -> None:
    """Until the other end is closed."""
    methods: dict[str, Callable[..., Any]] = {
        "search": index.search,
        "add": index.add,
        "remove": index.remove,
        "reconcile": lambda: index.reconcile(store.chunk_ids, store.stored_vectors),
    }
    while True:
        try:
            method, arguments = connection.recv()
        except (EOFError, ConnectionError):
            return
        answer: Any
        try:
            answer = methods[method](*arguments)
        except (VectorsUnavailable, StorageFailed) as error:
            answer = VectorsUnavailable(str(error))
        try:
            connection.send(answer)
        except ConnectionError:
            return


def _main(descriptor: str, directory: str, data_dir: str, embedder: str, dimension: str) -> None:
    connection = Connection(int(descriptor))
    made_by = MadeBy(embedder, int(dimension))
    with ExitStack() as held:
        try:
            held.enter_context(alone_in(Path(directory)))
            store = Store(Path(data_dir))
            index = VectorIndex.embedded(Path(directory), store.id, made_by, batch=_BATCH)
        except (VectorsUnavailable, StorageFailed, OSError) as error:
            connection.recv()
            connection.send(VectorsUnavailable(str(error)))
            return
        _serve(connection, index, store)
        index.close()
        store.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])
