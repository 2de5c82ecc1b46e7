"""What was spent and saved, by day and model, in a SQLite file that survives restarts.

Calls are handed to a thread of its own, so that no disk ever holds up a reply; what
cannot be written now is kept and written with the next call.
"""

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import structlog

from app.llm.budget import Booking
from app.llm.ledger import SUCCESS, CallRecord, Ledger

FILE_NAME = "ledger.db"
GATHERED_S = 0.05
"""What comes in so long is written at once."""
BUSY_TIMEOUT_S = 5.0
"""`zantara ask` may write beside the service."""
MAX_AGE_DAYS = 400
"""A day that is longer ago is deleted: a year can be compared with the one before."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spending (
    day TEXT NOT NULL, ai TEXT NOT NULL, model TEXT NOT NULL,
    calls INTEGER NOT NULL, failed INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cost_usd REAL NOT NULL, saved_usd REAL NOT NULL,
    PRIMARY KEY (day, ai, model)
) WITHOUT ROWID
"""
_BOOKED = """
CREATE TABLE IF NOT EXISTS booked (
    day TEXT NOT NULL, account TEXT NOT NULL, usd REAL NOT NULL, PRIMARY KEY (day, account)
) WITHOUT ROWID
"""
_BOOK = """
INSERT INTO booked (day, account, usd) VALUES (?, ?, ?)
ON CONFLICT (day, account) DO UPDATE SET usd = usd + excluded.usd
"""
_FIGURES = (
    "calls", "failed", "unpriced", "input_tokens", "output_tokens", "cost_usd", "saved_usd",
)  # fmt: skip
_ADD = f"""
INSERT INTO spending (day, ai, model, {", ".join(_FIGURES)})
VALUES (?, ?, ?{", ?" * len(_FIGURES)})
ON CONFLICT (day, ai, model) DO UPDATE SET
{", ".join(f"{name} = {name} + excluded.{name}" for name in _FIGURES)}
"""  # noqa: S608 - the names are the constants above

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Spending:
    """One model on one day (UTC). Dollars are of the calls whose price is known."""

    day: str
    ai: str
    model: str
    calls: int = 0
    failed: int = 0
    """Calls that gave no whole answer, the client's leaving among them."""
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0

    def add(self, entry: CallRecord) -> None:
        """Count one call."""
        self.calls += 1
        self.failed += entry.outcome != SUCCESS
        self.unpriced += entry.cost_usd is None
        self.input_tokens += entry.usage.input_tokens
        self.output_tokens += entry.usage.output_tokens
        self.cost_usd += entry.cost_usd or 0.0
        self.saved_usd += entry.saved_usd or 0.0


@dataclass
class _Unwritten:
    """Calls added up until they are written."""

    rows: dict[tuple[str, str, str], Spending] = field(default_factory=dict)
    booked: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    def add(self, entry: CallRecord | Booking) -> None:
        if isinstance(entry, Booking):
            self.booked[entry.day, entry.account] += entry.usd
            return
        day = datetime.now(UTC).date().isoformat()
        key = day, entry.ai, entry.model
        self.rows.setdefault(key, Spending(*key)).add(entry)


@contextmanager
def recording(data_dir: Path, ledger: Ledger) -> Iterator[None]:
    """Record every call of `ledger` for the length of the block; all is written at its end.

    Its budget goes on from what was spent today, and what calls have reserved counts as
    spent until they are settled: also where the process is killed before.
    """
    calls: SimpleQueue[CallRecord | Booking | None] = SimpleQueue()
    budget = ledger.budget
    try:
        budget.remember(booked(data_dir, budget.today))
    except sqlite3.Error as error:
        logger.warning("the day's limit begins at 0: the ledger cannot be read", reason=str(error))
    writer = threading.Thread(target=_write, args=(data_dir / FILE_NAME, calls), name="spending")
    writer.start()
    ledger.listeners.append(calls.put)
    budget.listeners.append(calls.put)
    try:
        yield
    finally:
        ledger.listeners.remove(calls.put)
        budget.listeners.remove(calls.put)
        calls.put(None)
        writer.join()


def spending(data_dir: Path, days: int) -> list[Spending]:
    """The last `days` days on which anything was spent, oldest first.

    Raises `sqlite3.Error` when the file is there and cannot be read.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        return []
    # Not read-only: the first reader after a crash may have to bring in the write-ahead log.
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
        rows = connection.execute(
            f"SELECT day, ai, model, {', '.join(_FIGURES)} FROM spending WHERE day IN "  # noqa: S608 - our own names
            "(SELECT DISTINCT day FROM spending ORDER BY day DESC LIMIT ?) "
            "ORDER BY day, ai DESC, model",
            (days,),
        )
        return [Spending(*row) for row in rows]


def purge(data_dir: Path) -> None:
    """Delete what is older than `MAX_AGE_DAYS`. Raises `sqlite3.Error`."""
    path = data_dir / FILE_NAME
    if not path.exists():
        return
    oldest = (datetime.now(UTC) - timedelta(days=MAX_AGE_DAYS)).date().isoformat()
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection, connection:
        for table in (_SCHEMA, _BOOKED):
            connection.execute(table)
        connection.execute("DELETE FROM spending WHERE day < ?", (oldest,))
        connection.execute("DELETE FROM booked WHERE day < ?", (oldest,))


def booked(data_dir: Path, day: str) -> dict[str, float]:
    """US dollars spent that day by account, reservations that were never settled among them.

    Raises `sqlite3.Error` when the file is there and cannot be read.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection, connection:
        connection.execute(_BOOKED)  # an earlier version kept none
        return dict(connection.execute("SELECT account, usd FROM booked WHERE day = ?", (day,)))


def _write(path: Path, calls: SimpleQueue[CallRecord | Booking | None]) -> None:
    unwritten = _Unwritten()
    file = _File(path)
    open_ended = True
    while open_ended:
        for entry in _waiting(calls):
            if entry is None:
                open_ended = False
            else:
                unwritten.add(entry)
        try:
            file.add(unwritten)
        except (sqlite3.Error, OSError) as error:
            file.close()
            logger.warning(
                "what was spent could not be recorded", file=str(path), reason=str(error)
            )
        else:
            unwritten.rows.clear()
            unwritten.booked.clear()
    file.close()


def _waiting(
    calls: SimpleQueue[CallRecord | Booking | None],
) -> Iterator[CallRecord | Booking | None]:
    """The next call, waited for, and those that come in just after it."""
    yield calls.get()
    time.sleep(GATHERED_S)  # in a thread of its own: one write for all that comes meanwhile
    while not calls.empty():
        yield calls.get()


class _File:
    """The file, kept open: opening and closing it takes six times as long as writing to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def add(self, unwritten: _Unwritten) -> None:
        values = [
            (row.day, row.ai, row.model, *(getattr(row, name) for name in _FIGURES))
            for row in unwritten.rows.values()
        ]
        sums = [(day, account, usd) for (day, account), usd in unwritten.booked.items()]
        if not values and not sums:
            return
        if self._connection is None or not self._path.exists():  # an operator moved it away
            self.close()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(_SCHEMA)
            self._connection.execute(_BOOKED)
        with self._connection as connection:
            connection.executemany(_ADD, values)
            connection.executemany(_BOOK, sums)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
