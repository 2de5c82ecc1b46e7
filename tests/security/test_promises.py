"""What SECURITY.md promises is tested: the tests that it names exist."""

import ast
import re
from functools import cache

import pytest

from app.settings import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
TABLE = TEXT.partition("<!-- promises -->")[2].partition("<!-- /promises -->")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.strip().splitlines()[2:]
]
PROMISES = [row for row in ROWS if not row[0].startswith("**")]


@cache
def functions_of(path: str) -> frozenset[str]:
    """The functions that pytest collects of a file."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, functions) and node.name.startswith("test_")
    )


def test_the_table_has_promises() -> None:
    assert len(PROMISES) > 50


@pytest.mark.parametrize(("promise", "test"), PROMISES)
def test_each_promise_names_a_test_that_exists(promise: str, test: str) -> None:
    named = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test)
    assert named, f"{promise}: expected `tests/….py::test_…`, not {test!r}"
    assert named[2] in functions_of(named[1]), f"{promise}: there is no {test}"


def test_no_other_test_is_named_that_does_not_exist() -> None:
    for path, name in re.findall(r"(tests/[\w/]+\.py)(?:::(test_\w+))?", TEXT):
        assert (ROOT / path).is_file()
        assert not name or name in functions_of(path)
