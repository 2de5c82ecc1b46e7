"""Which embedder the settings ask for."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.retrieval.e5 import E5Embedder
from app.retrieval.embedder import Embedder
from app.retrieval.remote_embedder import RemoteEmbedder
from app.settings import Settings


@contextmanager
def configured_embedder(settings: Settings) -> Iterator[Embedder]:
    """The model in this process, unless EMBEDDINGS_URL names a server."""
    if settings.embeddings_url is None:
        yield E5Embedder()
        return
    assert settings.embeddings_model, "checked by the settings"
    assert settings.embeddings_dimensions, "checked by the settings"
    key = settings.embeddings_api_key
    remote = RemoteEmbedder(
        settings.embeddings_url,
        settings.embeddings_model,
        settings.embeddings_dimensions,
        key.get_secret_value() if key else None,
    )
    try:
        yield remote
    finally:
        remote.close()
