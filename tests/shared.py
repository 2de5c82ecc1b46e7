"""The real documents that lie beside a checkout; tests that need them skip where they don't."""

from pathlib import Path

import pytest

from app.settings import ROOT

_CORPUS = ROOT.parent / "shared" / "corpus"


def corpus(name: str) -> Path:
    """A file or folder of the corpus."""
    path = _CORPUS / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
