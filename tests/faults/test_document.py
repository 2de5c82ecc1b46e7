"""`docs/failure-modes.md` says what the matrix says."""

from collections import Counter

from app.errors import FailureKind
from scripts.failure_modes import DOCUMENT, document
from tests.faults.matrix import MATRIX

ELSEWHERE = {8, 19, 47, 48, 49, 50, 51, 52, 53, 54}
"""Rows that more than one call makes: below the document's table, or somebody else's."""


def test_the_document_is_written_from_the_matrix() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), (
        "write it again: .venv/bin/python -m scripts.failure_modes"
    )


def test_every_kind_of_failure_is_played() -> None:
    """A new kind needs a row, and with it a decision on what the caller gets."""
    played = {fault.kind for fault in MATRIX if fault.kind}
    assert set(FailureKind) - played == {
        FailureKind.CIRCUIT_OPEN,  # test_circuits.py
        FailureKind.NO_DESCRIPTORS,  # test_descriptors.py
        FailureKind.SPENDING_LIMIT,  # tests/security/test_spending_limits.py
        FailureKind.CONTINUATION_MISMATCH,  # of what is continued only: test_llama_scout_client.py
    }


def test_every_row_is_there_and_every_case_has_its_own_name() -> None:
    rows = {fault.row for fault in MATRIX}
    assert set(range(1, 56)) - rows <= ELSEWHERE
    assert max(Counter((fault.row, fault.name) for fault in MATRIX).values()) == 1
    titles = Counter((fault.row, fault.title, fault.of) for fault in MATRIX)
    assert max(titles.values()) == 1, titles.most_common(1)
