"""`zantara serve` under the soak: at SIGUSR1 it writes how many tasks it has into a file."""

import asyncio
import signal
import sys
from pathlib import Path

from app.cli import main


def _watched(file: Path) -> None:
    # In the main thread, where the loop is running.
    signal.signal(signal.SIGUSR1, lambda *_: file.write_text(str(len(asyncio.all_tasks()))))


if __name__ == "__main__":
    _watched(Path(sys.argv.pop(1)))
    sys.argv.append("serve")
    main()
