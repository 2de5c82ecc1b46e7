"""Vectors of another embedder for everything that is stored."""

from app.retrieval.embedder import Embedder
from app.retrieval.ingest_report import PassageMeter, ProgressCallback
from app.retrieval.refusals import embed_each
from app.retrieval.store import Store, vector_key
from app.retrieval.vector_worker import SLICE


def rebuild(store: Store, embedder: Embedder, progress: ProgressCallback) -> int:
    """Embed every stored chunk with `embedder`; how many there are.

    What it refuses is found by its words alone. Killed half-way, the store still holds
    the old vectors and, kept for the next try, those made so far.
    """
    texts = store.embedded_texts()
    keys = {chunk_id: vector_key(embedder.name, text) for chunk_id, text in texts.items()}
    known = store.known_vectors(set(keys.values()))
    missing = list({keys[i]: texts[i] for i in texts if keys[i] not in known}.items())
    meter = PassageMeter(progress)
    for start in range(0, len(missing), SLICE):
        meter.left(len(missing) - start)
        store.keep_vectors(embed_each(embedder, dict(missing[start : start + SLICE])))
    meter.left(0)
    store.switch_embedder(embedder, keys)
    return len(texts)
