import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.events import Usage
from app.llm.ledger import CANCELLED, HAIKU, LLAMA, SUCCESS, CallRecord, Ledger
from app.llm.pricing import PriceList
from app.ops.spending import FILE_NAME, MAX_AGE_DAYS, booked, purge, recording, spending
from tests.conftest import Serving
from tests.upstream import Upstream, haiku_says, llama_says, llama_usage, status

QUESTION = {"message": "Quanto capitale per una PT PMA?"}


def entry(ai: str = LLAMA, outcome: str = SUCCESS, cost_usd: float | None = 0.25) -> CallRecord:
    return CallRecord(
        ai=ai,
        provider="openrouter",
        asked_model=ai,
        model=ai,
        outcome=outcome,
        usage=Usage(100, 10),
        duration_s=1.0,
        cost_usd=cost_usd,
        saved_usd=0.5,
    )


def ledger() -> Ledger:
    return Ledger(PriceList(), "claude-haiku-4-5")


async def test_what_was_spent_survives_a_restart_and_agrees_with_health(
    data_dir: Path, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Uno.", usage=llama_usage(cost=0.0004)), status(500))
    upstream.haiku(haiku_says("Due."))
    measured = []
    for questions in (1, 1):
        async with serving() as client:
            for _ in range(questions):
                assert (await client.post("/chat", json=QUESTION)).status_code == 200
            measured.append((await client.get("/health")).json()["measured"])

    rows = spending(data_dir, days=1)
    assert [(row.ai, row.calls, row.failed) for row in rows] == [(LLAMA, 2, 1), (HAIKU, 1, 0)]
    assert {row.day for row in rows} == {datetime.now(UTC).date().isoformat()}
    for name in ("cost_usd", "saved_usd"):
        recorded = sum(getattr(row, name) for row in rows)
        assert recorded == pytest.approx(sum(each[name] for each in measured), abs=1e-6)
    assert rows[1].cost_usd == pytest.approx(600e-6 + 120 * 5e-6)


def test_calls_are_added_up_by_day_and_model(tmp_path: Path) -> None:
    book = ledger()
    with recording(tmp_path, book):
        for each in (
            entry(),
            entry(),
            entry(cost_usd=None),
            entry(HAIKU),
            entry(outcome=CANCELLED),
        ):
            book.record(each)

    llama, haiku = spending(tmp_path, days=1)
    assert (llama.calls, llama.failed, llama.unpriced) == (4, 1, 1)
    assert (llama.cost_usd, llama.saved_usd) == (0.75, 2.0)
    assert (llama.input_tokens, llama.output_tokens) == (400, 40)
    assert haiku.calls == 1


def test_only_the_last_days_are_shown_oldest_first(tmp_path: Path) -> None:
    book = ledger()
    with recording(tmp_path, book):
        book.record(entry())
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        for day in ("2026-01-01", "2026-01-02"):
            connection.execute(
                "INSERT INTO spending SELECT ?, ai, model, calls, failed, unpriced, input_tokens,"
                " output_tokens, cost_usd, saved_usd FROM spending LIMIT 1",
                (day,),
            )
    connection.close()

    assert [row.day for row in spending(tmp_path, days=3)][:2] == ["2026-01-01", "2026-01-02"]
    assert "2026-01-01" not in {row.day for row in spending(tmp_path, days=2)}


def test_what_cannot_be_written_now_is_written_with_the_next_call(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    data_dir.write_text("a file where the directory should be")
    book = ledger()
    with capture_logs() as logs, recording(data_dir, book):
        book.record(entry())
        deadline = time.monotonic() + 30
        while not any("could not be recorded" in log["event"] for log in logs):
            assert time.monotonic() < deadline, logs
            threading.Event().wait(0.01)
        data_dir.unlink()
        book.record(entry())

    assert spending(data_dir, days=1)[0].calls == 2


def test_a_ledger_that_is_no_database_is_said_and_written_anew_once_it_is_moved(
    tmp_path: Path,
) -> None:
    (tmp_path / FILE_NAME).write_text("no database")
    book = ledger()
    with capture_logs() as logs, recording(tmp_path, book):
        (tmp_path / FILE_NAME).rename(tmp_path / "damaged")
        book.record(entry())

    assert "the day's limit begins at 0" in logs[0]["event"]
    assert logs[0]["reason"] == "file is not a database"
    assert spending(tmp_path, days=1)[0].calls == 1


def test_two_processes_may_record_at_once(tmp_path: Path) -> None:
    first, second = ledger(), ledger()
    with recording(tmp_path, first), recording(tmp_path, second):
        for _ in range(50):
            first.record(entry())
            second.record(entry())

    assert spending(tmp_path, days=1)[0].calls == 100


def test_nothing_spent_is_no_error(tmp_path: Path) -> None:
    assert spending(tmp_path, days=7) == []


def test_row_36_rows_are_purged_by_age(tmp_path: Path) -> None:
    purge(tmp_path)  # nothing was spent yet
    kept = ledger()
    with recording(tmp_path, kept):
        kept.budget.reserve(0.1)
        kept.record(entry())
    today = datetime.now(UTC).date()
    old = (today - timedelta(days=MAX_AGE_DAYS + 1)).isoformat()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        for table in ("spending", "booked"):
            database.execute(f"CREATE TEMP TABLE old AS SELECT * FROM {table}")
            database.execute("UPDATE old SET day = ?", (old,))
            database.execute(f"INSERT INTO {table} SELECT * FROM old")
            database.execute("DROP TABLE old")
    assert booked(tmp_path, old) == {"": 0.1}
    purge(tmp_path)

    assert [row.day for row in spending(tmp_path, 10)] == [today.isoformat()]
    assert booked(tmp_path, today.isoformat()) == {"": 0.1}
    assert booked(tmp_path, old) == {}
