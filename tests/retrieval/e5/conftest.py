"""Fixtures of the embedding model's tests."""

import pytest

from app.retrieval.e5 import embedder as e5_embedder


@pytest.fixture(autouse=True)
def _model_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load a model where other tests share one: loading is what is tested here."""
    shared = e5_embedder._Model
    monkeypatch.setattr(e5_embedder, "_Model", getattr(shared, "__wrapped__", shared))
