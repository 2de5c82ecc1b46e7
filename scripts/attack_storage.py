"""What `scripts/attack.py` looks for in the files and child processes of a service."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from scripts.attack_models import SLOW
from scripts.attack_target import Outcome, Target

MARK = "zyxwvutmark"


def deleted_during_its_turn(target: Target) -> Outcome:
    """A conversation is deleted while its next turn is answered."""
    url = "/conversations/deleted-0123456789"
    body = {"message": f"{SLOW}?", "conversation_id": url.rpartition("/")[2], "stream": True}
    with target.client(target.attacker) as client, target.client(target.attacker) as second:
        client.post("/chat", json={**body, "message": "Quanto?"})
        with client.stream("POST", "/chat", json=body) as answer:
            lines = answer.iter_lines()
            next(line for line in lines if "delta" in line)
            deleted = second.delete(url).status_code
            for _ in lines:
                pass
        left = second.get(url).status_code
    return f"DELETE {deleted}, then GET {left}", left == 404


def deleted_document(target: Target) -> Outcome:
    """A document is deleted: its text is to be in no file, and no file everybody's."""
    text = f"# Kites\n\nThe permit {MARK} for kites costs nothing at all.\n".encode()
    with target.client(target.admin) as client:
        made = client.post("/documents", files={"file": ("kites.md", text)})
        client.delete("/documents/kites")
    deadline = time.monotonic() + 60
    while (found := list(_files_with(target.data_dir, MARK))) and time.monotonic() < deadline:
        time.sleep(1)
    files = [path for path in target.data_dir.rglob("*") if path.is_file()]
    others = [path.name for path in files if path.stat().st_mode & 0o077]
    took = 60 - max(0.0, deadline - time.monotonic())
    what = f"{made.status_code}; in {len(found)} files after {took:.0f} s"
    return f"{what}; {len(others)} files are not 0600", made.is_success and not found and not others


def keys_of_children(target: Target) -> Outcome:
    """What the child processes could tell of the providers' keys."""
    keys, children = 0, _descendants(target.victim.pid)
    for pid in children:
        with suppress(OSError):
            keys += b"planted" in Path(f"/proc/{pid}/environ").read_bytes()
    return f"{keys} of {len(children)} child processes have a provider's key", not keys


class UdpSockets:
    """Those that a service and its children have open at any time in the block."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.found = set[str]()

    def __enter__(self) -> Self:
        self._looking = threading.Thread(target=self._look)
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            sockets = {
                f"socket:[{line.split()[9]}]"
                for name in ("udp", "udp6")
                for line in Path(f"/proc/{self._pid}/net/{name}").read_text().splitlines()[1:]
            }
            for pid in (self._pid, *_descendants(self._pid)):
                with suppress(OSError):
                    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                        with suppress(OSError):
                            self.found |= sockets & {str(descriptor.readlink())}


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _files_with(folder: Path, word: str) -> Iterator[Path]:
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and word.encode() in path.read_bytes():
                yield path


def _descendants(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread or a process that has ended
            for child in map(int, path.read_text().split()):
                found += [child, *_descendants(child)]
    return found
