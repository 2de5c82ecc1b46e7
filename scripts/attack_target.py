"""What `scripts/attack.py` attacks, and how others fare meanwhile."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any, Final, Self

import httpx

from tests.attacking import Victim
from tests.keys import bearing

OTHERS_LIMIT_S: Final = 2.0
"""For what another caller asks while one attacks: a second and more are the machine's own."""
Outcome = tuple[str, bool]
"""What happened, and whether the service held."""


@dataclass(frozen=True)
class Target:
    """A service, and what its callers have."""

    victim: Victim
    attacker: str
    """A key with the scope `chat`; so is the next one."""
    other: str
    writer: str
    """A key with the scope `documents`."""
    admin: str
    data_dir: Path
    metrics_port: int

    def client(self, key: str = "", timeout_s: float = 60.0) -> httpx.Client:
        """A client with that key."""
        headers = bearing(key) if key else {}
        return httpx.Client(base_url=self.victim.url, headers=headers, timeout=timeout_s)

    def health(self) -> Any:
        """What `/health` tells an operator."""
        with self.client(self.admin) as client:
            return client.get("/health").json()


class Others:
    """What another caller's requests take meanwhile."""

    def __init__(self, ask: Callable[[], httpx.Response]) -> None:
        self._ask, self._over = ask, threading.Event()
        self.slowest_s, self.answers = 0.0, list[httpx.Response]()

    def __enter__(self) -> Self:
        self._asking = threading.Thread(target=self._go_on)
        self._asking.start()
        return self

    def _go_on(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            with suppress(httpx.HTTPError):
                self.answers.append(self._ask())
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self._over.wait(0.2)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._asking.join()


def of(piece: bytes, megabytes: int = 44) -> Iterable[bytes]:
    """So much of it, in pieces of a hundred kilobytes."""
    return islice(repeat(piece * (100_000 // len(piece) + 1)), megabytes * 10)
