"""Real parts: the bundled embedder, Chroma and SQLite in a directory of the test's."""

from pathlib import Path

import pytest

from app.retrieval import knowledge_base
from app.retrieval.e5 import E5Embedder
from app.settings import Settings


@pytest.fixture(scope="session")
def embedder() -> E5Embedder:
    """Loaded once a worker: that takes longer than most tests."""
    return E5Embedder()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search waits until the index is open, however busy the machine is."""
    monkeypatch.setattr(knowledge_base, "_READY_WAIT_S", 120.0)
    monkeypatch.setattr(knowledge_base, "_WARMING_WAIT_S", 120.0)
    monkeypatch.setattr(knowledge_base, "_VECTORS_WAIT_S", 120.0)


@pytest.fixture
def knowledge(tmp_path: Path) -> Path:
    """An empty bundle of knowledge."""
    folder = tmp_path / "knowledge"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path, knowledge: Path) -> Settings:
    """A data directory and a bundle of the test's own."""
    return Settings(data_dir=tmp_path / "data", knowledge_dir=knowledge)
