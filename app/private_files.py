"""File modes of `DATA_DIR`: its owner's alone, whatever the umask was."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

_OTHERS = 0o077


def keep_private(data_dir: Path) -> None:
    """Make the directory, and take what is in it from the group and from others.

    Sets the process's umask, so that whatever it and its children create stays private: the
    logs of SQLite and the files of Chroma too. Links are not followed. Raises `OSError` where
    the directory cannot be made.
    """
    os.umask(_OTHERS)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    open_to_others = []
    for folder, folders, files in os.walk(data_dir):
        paths = [folder, *(os.path.join(folder, name) for name in (*folders, *files))]  # noqa: PTH118 - a third of the time
        open_to_others += [path for path in paths if not _make_private(path)]
    if open_to_others:
        logger.warning(
            "%s belongs to another user and is open to others: chmod -R go= %s",
            open_to_others[0],
            data_dir,
        )


def _make_private(path: str) -> bool:
    """False where the mode is another user's to change; what is gone meanwhile is private."""
    try:
        mode = os.lstat(path).st_mode
        if mode & _OTHERS and not os.path.islink(path):  # noqa: PTH114 - as above
            os.chmod(path, mode & 0o7777 & ~_OTHERS)  # noqa: PTH101 - as above
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return True
