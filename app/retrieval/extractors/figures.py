"""Whether every figure of a file is in its text as it is in the file."""

import re
import unicodedata
from collections import Counter

from app.retrieval.warnings import DocumentWarning

_RUN = re.compile(r"\d+|[⁰¹²³⁴-⁹]+|[₀-₉]+")
_SHOWN = 5


def figures(text: str) -> Counter[str]:
    """How often each run of digits is in a text."""
    runs = _RUN.findall(text)
    return Counter(run if run.isdecimal() else unicodedata.normalize("NFKC", run) for run in runs)


def differences(
    found: Counter[str], expected: Counter[str], where: str = ""
) -> tuple[DocumentWarning, ...]:
    """A warning of the figures that one reading has and the other has not.

    A figure may be found more often than expected, as keys and column names are repeated.
    """
    missing = sorted(expected - found)
    changed = sorted(found.keys() - expected.keys())
    if not missing and not changed:
        return ()
    parts = [
        f"{word} {', '.join(runs[:_SHOWN])}{' …' if len(runs) > _SHOWN else ''}"
        for word, runs in (("lacks", missing), ("has only here", changed))
        if runs
    ]
    detail = f"figures differ from a second reading: {'; '.join(parts)}"
    return (DocumentWarning("figures", detail, where),)
