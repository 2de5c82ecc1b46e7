"""Which of several texts an embedder refuses: one that it never takes holds up no other."""

from collections.abc import Mapping

from app.errors import VectorsUnavailable
from app.retrieval.embedder import Embedder, Vectors

_HARMLESS = "?"


def embed_each(embedder: Embedder, texts: Mapping[str, str]) -> dict[str, Vectors]:
    """Embed passages by key; those that the embedder refuses are missing from what is returned.

    Raises:
        VectorsUnavailable: It takes no text at all at the moment.
    """
    keys = list(texts)
    try:
        vectors = embedder.embed_passages(list(texts.values()))
    except VectorsUnavailable:
        # Raises where it is not this text's fault.
        embedder.embed_passages([_HARMLESS])
    else:
        return dict(zip(keys, vectors, strict=True))
    if len(keys) == 1:
        return {}
    half = len(keys) // 2
    parts = keys[:half], keys[half:]
    first, second = (embed_each(embedder, {key: texts[key] for key in part}) for part in parts)
    return first | second
