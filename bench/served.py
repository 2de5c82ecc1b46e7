"""`zantara serve`, which writes down how long its event loop was held up.

`python -m bench.served FILE`. At SIGUSR1 it writes the longest pause since the one before, in
milliseconds, into the file.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from app.cli import main

_TICK_S = 0.005


class _Pauses:
    """The longest time that a tick of 5 ms was late."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._longest_s = 0.0
        self._ticking: asyncio.Task[None] | None = None

    def report(self) -> None:
        """Write the longest pause, and start again. Called where the event loop runs."""
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        written = self._file.with_suffix(".new")
        written.write_text(f"{self._longest_s * 1000:.1f}")
        written.rename(self._file)
        self._longest_s = 0.0

    async def _tick(self) -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(_TICK_S)
            self._longest_s = max(self._longest_s, time.perf_counter() - started - _TICK_S)


if __name__ == "__main__":
    pauses = _Pauses(Path(sys.argv.pop(1)))
    # In the main thread, where the loop runs.
    signal.signal(signal.SIGUSR1, lambda *_: pauses.report())
    sys.argv.append("serve")
    main()
