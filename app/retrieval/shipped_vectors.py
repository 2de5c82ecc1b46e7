"""Vectors made beforehand, so that a first start need not embed what is bundled.

An `.npz` file holds `embedder` (a name), `keys` (as `store.vector_key` makes them)
and `vectors` (16-bit floats, one row a key).
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.errors import ConfigurationError
from app.retrieval.embedder import Embedder, Vectors

# 64 MB hold some 80,000 vectors; without a bound a small file could unpack to any size.
_MAX_BYTES = 64 * 1024 * 1024


def load(path: Path, embedder: Embedder) -> dict[str, Vectors]:
    """Vectors by key; none when there is no file or it was made with another embedder.

    Raises `ConfigurationError` when the file is not what `save` wrote.
    """
    if not path.is_file():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
                raise ConfigurationError(f"{path} is larger than {_MAX_BYTES // 1024**2} MB")
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["embedder"]) != embedder.name:
                return {}
            keys = arrays["keys"].tolist()
            vectors = arrays["vectors"].astype(np.float32)
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise ConfigurationError(
            f"{path} is damaged: run scripts/build_vectors.py, or delete it"
        ) from error
    if vectors.shape != (len(keys), embedder.dimension):
        raise ConfigurationError(f"{path} is damaged: {vectors.shape} for {len(keys)} keys")
    # Sixteen bits lose a little of the length; Chroma and the store expect unit vectors.
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dict(zip(keys, vectors, strict=True))


def save(path: Path, embedder: Embedder, vectors: Mapping[str, Vectors]) -> None:
    """Write the file; the same vectors make the same bytes."""
    keys = sorted(vectors)
    np.savez_compressed(
        path,
        embedder=np.array(embedder.name),
        keys=np.array(keys),
        vectors=np.stack([vectors[key] for key in keys]).astype(np.float16),
    )
