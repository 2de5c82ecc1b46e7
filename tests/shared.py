"""The real documents that lie beside a checkout; tests that need them skip where they don't."""

from pathlib import Path

import pytest

from app.settings import ROOT

_SHARED = ROOT.parent / "shared"


def corpus(name: str) -> Path:
    """A file or folder of the corpus."""
    return _there("corpus", name)


def evaluation(name: str) -> Path:
    """A file of questions with known answers."""
    return _there("eval", name)


def documents(name: str) -> Path:
    """A file that is hard to read."""
    return _there("documents", name)


def _there(folder: str, name: str) -> Path:
    path = _SHARED / folder / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
