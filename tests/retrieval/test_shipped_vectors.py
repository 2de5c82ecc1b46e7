from pathlib import Path

import numpy as np
import pytest

from app.errors import ConfigurationError
from app.retrieval import shipped_vectors
from app.retrieval.e5 import E5Embedder
from tests.retrieval.material import OtherEmbedder


def test_what_is_saved_is_loaded(tmp_path: Path, embedder: E5Embedder) -> None:
    vectors = dict(zip(("b" * 64, "a" * 64), embedder.embed_queries("ba"), strict=True))
    shipped_vectors.save(tmp_path / "v.npz", embedder, vectors)
    loaded = shipped_vectors.load(tmp_path / "v.npz", embedder)
    assert loaded.keys() == vectors.keys()
    for key, vector in vectors.items():
        np.testing.assert_allclose(loaded[key], vector, atol=1e-3)
        assert np.linalg.norm(loaded[key]) == pytest.approx(1, abs=1e-6)


def test_the_same_vectors_make_the_same_bytes(tmp_path: Path, embedder: E5Embedder) -> None:
    a, b = embedder.embed_queries("ab")
    shipped_vectors.save(tmp_path / "1.npz", embedder, {"x": a, "y": b})
    shipped_vectors.save(tmp_path / "2.npz", embedder, {"y": b, "x": a})
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_another_embedders_vectors_are_not_used(tmp_path: Path, embedder: E5Embedder) -> None:
    shipped_vectors.save(tmp_path / "v.npz", embedder, {"a": embedder.embed_queries("a")[0]})
    assert shipped_vectors.load(tmp_path / "v.npz", OtherEmbedder(embedder)) == {}


def test_no_file_is_no_vectors(tmp_path: Path, embedder: E5Embedder) -> None:
    assert shipped_vectors.load(tmp_path / "v.npz", embedder) == {}


def test_a_damaged_file_is_a_clear_error(tmp_path: Path, embedder: E5Embedder) -> None:
    path = tmp_path / "v.npz"
    shipped_vectors.save(path, embedder, {"a": embedder.embed_queries("a")[0]})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConfigurationError, match="is damaged"):
        shipped_vectors.load(path, embedder)


def test_pickled_objects_are_refused(tmp_path: Path, embedder: E5Embedder) -> None:
    path = tmp_path / "v.npz"
    np.savez(
        path, embedder=np.array(embedder.name), keys=np.array([{}]), vectors=np.zeros((1, 384))
    )
    with pytest.raises(ConfigurationError, match="is damaged"):
        shipped_vectors.load(path, embedder)


def test_what_unpacks_beyond_the_bound_is_refused(tmp_path: Path, embedder: E5Embedder) -> None:
    path = tmp_path / "v.npz"
    np.savez_compressed(path, vectors=np.zeros((90_000, 384), dtype=np.float16))
    with pytest.raises(ConfigurationError, match="larger than 64 MB"):
        shipped_vectors.load(path, embedder)
