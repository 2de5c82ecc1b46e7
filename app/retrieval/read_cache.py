"""What was read from the database, kept in memory until the database changes."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

from app.retrieval.database import Database

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ReadCache(Generic[K, V]):
    """Safe to use from any thread. `size_of` counts an entry against `maximum`, else as one."""

    def __init__(
        self, database: Database, maximum: float, size_of: Callable[[V], float] | None = None
    ) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._kept: LRUCache[K, V] = LRUCache(maximum, size_of)
        self._generation = database.generation

    def get(self, key: K, read: Callable[[], V]) -> V:
        """The value that `read` gives, or gave since the last change."""
        generation = self._database.generation
        with self._lock:
            if self._generation != generation:
                self._kept.clear()
                self._generation = generation
            elif key in self._kept:
                return self._kept[key]
        value = read()
        with self._lock:
            # Not what was read while the database changed: it may be of before.
            if self._generation == generation == self._database.generation:
                try:
                    self._kept[key] = value
                except ValueError:  # larger than all that is kept
                    return value
        return value
