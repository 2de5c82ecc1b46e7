import json
import logging
import os

import pytest
import structlog
from asgi_correlation_id import correlation_id

from app.ops.logging import configure_logging


def crash() -> None:
    prompt = "-".join(["a", "secret", "prompt"])
    raise ZeroDivisionError(len(prompt))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variable(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json" if log_format == "json" else "console")
    try:
        crash()
    except ZeroDivisionError as error:
        structlog.get_logger().error("ours", exc_info=error)
        logging.getLogger("theirs").exception("theirs")

    logged = capsys.readouterr().err
    assert logged.count("ZeroDivisionError") >= 2
    assert "in crash" in logged or '"name":"crash"' in logged
    assert "a-secret-prompt" not in logged


def test_a_file_whose_name_is_not_utf_8_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    structlog.get_logger().warning("rejected", path=os.fsdecode(b"docs/\xff.md"))

    logged = json.loads(capsys.readouterr().err)
    assert logged["path"] == os.fsdecode(b"docs/\xff.md")
    assert logged["timestamp"].endswith("Z")


def test_every_record_of_a_request_has_its_id_and_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json")
    correlation_id.set("abc123")
    structlog.get_logger().info("ours\nforged", note="\x1b[31m\r\n")
    logging.getLogger("theirs").warning("theirs\nforged")

    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [record["request_id"] for record in records] == ["abc123", "abc123"]
