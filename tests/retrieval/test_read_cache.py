from collections.abc import Iterator
from pathlib import Path

import pytest

from app.retrieval.database import Database
from app.retrieval.read_cache import ReadCache


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


def write(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("REPLACE INTO meta VALUES ('a', 'b')")


def unexpected() -> str:
    raise AssertionError("read again")


def test_what_was_read_is_kept_until_the_database_changes(database: Database) -> None:
    cache: ReadCache[str, str] = ReadCache(database, 10)
    assert cache.get("a", lambda: "before") == "before"
    assert cache.get("a", unexpected) == "before"
    write(database)
    assert cache.get("a", lambda: "after") == "after"


def test_a_write_that_is_taken_back_changes_nothing(database: Database) -> None:
    cache: ReadCache[str, str] = ReadCache(database, 10)
    cache.get("a", lambda: "before")
    with pytest.raises(ZeroDivisionError), database.transaction():
        raise ZeroDivisionError
    assert cache.get("a", unexpected) == "before"


def test_what_was_read_while_the_database_changed_is_not_kept(database: Database) -> None:
    cache: ReadCache[str, str] = ReadCache(database, 10)

    def read_before_a_write() -> str:
        write(database)
        return "before"

    assert cache.get("a", read_before_a_write) == "before"
    assert cache.get("a", lambda: "after") == "after"


def test_what_was_not_asked_for_lately_goes_first_and_what_is_too_large_is_not_kept(
    database: Database,
) -> None:
    cache: ReadCache[str, str] = ReadCache(database, 10, len)
    for key in ("four", "five", "five", "six"):
        cache.get(key, lambda key=key: key)  # type: ignore[misc]
    assert cache.get("five", unexpected) == "five"
    assert cache.get("four", lambda: "eleven char") == "eleven char"
    assert cache.get("four", lambda: "four") == "four"
