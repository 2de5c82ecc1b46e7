"""Every row of the security matrix has a test named after it."""

import re

from app.settings import ROOT

ROWS = range(1, 40)


def test_every_row_has_a_test_of_its_number() -> None:
    # Those in tests/faults bear the numbers of the fault matrix.
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "faults"]
    named = {
        int(number)
        for path in files
        for number in re.findall(r"(?m)^(?:async )?def test_row_(\d+)_", path.read_text())
    }

    assert named == set(ROWS)
