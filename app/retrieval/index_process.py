"""A process that may die: it opens an index that may be damaged, and builds a new one.

Some damage ends the process that opens the index with a segmentation fault, and
building holds the interpreter for minutes: neither is for the one that serves.
`python -m app.retrieval.index_process`; its output is JSON.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from app.errors import StorageFailed, VectorsUnavailable
from app.retrieval.data_lock import alone_in
from app.retrieval.store import Store
from app.retrieval.vector_index import MadeBy, VectorIndex

# Opening and comparing 100,000 chunks takes some seconds; a damaged index may hang.
_TIMEOUT_S = {"check": 120.0, "build": 3600.0}

_BUILDING_BATCH = 1_000
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Task:
    """What the process is to do: `check` the index or `build` one in an empty directory."""

    mode: str
    directory: str
    data_dir: str
    store_id: str
    made_by: MadeBy


class IndexProcess:
    """Runs tasks one at a time; `stop` ends the running one, and the process with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, task: Task) -> int:
        """How many rows the index lacks or has too many. Raises `VectorsUnavailable`."""
        with TemporaryFile() as output:
            with self._lock:
                if self._stopped:
                    raise VectorsUnavailable("the service is closing")
                # The process reads its standard input to learn of our end, however it comes.
                process = self._running = subprocess.Popen(  # noqa: S603  # our own module
                    [sys.executable, "-m", __name__, json.dumps(asdict(task))],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=Path(__file__).parents[2],
                )
            try:
                code = process.wait(_TIMEOUT_S[task.mode])
            except subprocess.TimeoutExpired:
                code = None
            finally:
                process.kill()
                process.wait()
                assert process.stdin
                process.stdin.close()
            output.seek(0)
            lines = output.read()[-2_000:].decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "no output"
        if code != 0:
            how = "took too long" if code is None else f"ended with code {code}: {last}"
            raise VectorsUnavailable(f"the process to {task.mode} the index {how}")
        return int(last)

    @property
    def stopped(self) -> bool:
        """Whether a failure may be due to `stop` alone."""
        return self._stopped

    def stop(self) -> None:
        """End what runs; nothing can be run afterwards."""
        with self._lock:
            self._stopped = True
            if self._running:
                self._running.kill()


def _check(task: Task, store: Store) -> int:
    directory = Path(task.directory)
    index = VectorIndex.embedded(directory, task.store_id, task.made_by)
    # Rows in Chroma's log are put into the graph anew at every start, at a millisecond
    # each: have it written once, where nobody waits for it.
    index.set_sync_threshold(_AT_ONCE)
    index.close()
    index = VectorIndex.embedded(directory, task.store_id, task.made_by)
    index.verify(store.stored_vectors)
    index.set_sync_threshold()
    off = index.differing(store.chunk_ids)
    index.close()
    return off


def _build(task: Task, store: Store) -> int:
    os.nice(10)
    directory = Path(task.directory)
    index = VectorIndex.embedded(directory, task.store_id, task.made_by, batch=_BUILDING_BATCH)
    for page in store.all_vectors():
        index.add(page)
    index.close()
    return _check(task, store)


_TASKS: dict[str, Callable[[Task, Store], int]] = {"check": _check, "build": _build}


def _end_with_parent() -> None:
    # Not through `sys.stdin`, whose lock a thread may not hold when the interpreter ends.
    os.read(0, 1)
    os._exit(1)


def _main(arguments: dict[str, Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    task = Task(**{**arguments, "made_by": MadeBy(**arguments["made_by"])})
    try:
        with alone_in(Path(task.directory)):
            store = Store(Path(task.data_dir))
            off = _TASKS[task.mode](task, store)
            store.close()
    except (VectorsUnavailable, StorageFailed, OSError) as error:
        sys.exit(str(error))
    print(off)  # noqa: T201  # the answer to the parent


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
