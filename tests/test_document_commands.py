"""What an ingest shows while it runs."""

import pytest

from app import document_commands
from app.retrieval.ingest_report import Progress


def test_where_there_is_no_terminal_lines_tell_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with document_commands._progress_shown() as show:
        show(Progress(1, 27, "laws/pp-31.pdf", 0.25))
        assert capsys.readouterr().err == "", "a short one says nothing"
        monkeypatch.setattr(document_commands, "LINE_EVERY_S", 0.0)
        show(Progress(2, 27, "laws/pp-28.pdf", 0.5, rate=0.25, left_s=100.4))
        show(Progress(1_200, 9_709, None, 0.12, "passages", 15.23, 541.0))
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "2/27 files, 50%, 0.2/s, 1 min 40 s left: pp-28.pdf",
        "1,200/9,709 passages, 12%, 15.2/s, 9 min 01 s left",
    ]
