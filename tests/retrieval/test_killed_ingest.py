"""Row 57 of the fault matrix; `python -m scripts.kill_ingest` does it fifty times."""

from pathlib import Path

import pytest

from scripts.kill_ingest import run

pytestmark = pytest.mark.slow


def test_what_was_reported_as_indexed_is_found_after_a_kill(tmp_path: Path) -> None:
    report = run(2, tmp_path)
    assert report.kills == 2
    assert len(report.reported) > 2
    assert report.lost == []
