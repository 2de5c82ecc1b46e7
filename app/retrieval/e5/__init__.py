"""multilingual-e5-small in this process, without a download."""

from app.retrieval.e5.embedder import E5Embedder

__all__ = ["E5Embedder"]
