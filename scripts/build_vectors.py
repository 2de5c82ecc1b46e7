"""Embed the bundled knowledge and the small-talk examples beforehand.

Run it after a change to the documents in `knowledge/`, to `app/retrieval/small_talk.json`, to
the chunking or to the embedder: `python -m scripts.build_vectors`.
"""

from pathlib import Path

from app.retrieval import shipped_vectors
from app.retrieval.e5 import E5Embedder
from app.retrieval.embedder import Embedder
from app.retrieval.extractors.formats import SUFFIXES
from app.retrieval.knowledge_base import BUNDLED_VECTORS
from app.retrieval.preparation import prepare
from app.retrieval.small_talk import VECTORS, SmallTalk
from app.retrieval.sources import read_file
from app.retrieval.store import vector_key
from app.settings import ROOT


def bundled_texts(folder: Path, embedder: Embedder) -> dict[str, str]:
    """What is embedded of every bundled document, by vector key."""
    texts: dict[str, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES):
        prepared = prepare(read_file(path), path.name)
        for chunk in prepared.chunks:
            texts[vector_key(embedder.name, chunk.embedded_text)] = chunk.embedded_text
    return texts


def main() -> None:
    """Write the two files."""
    embedder = E5Embedder()
    folder = ROOT / "knowledge"
    texts = bundled_texts(folder, embedder)
    embedded = embedder.embed_passages(list(texts.values()))
    vectors = dict(zip(texts, embedded, strict=True))
    shipped_vectors.save(folder / BUNDLED_VECTORS, embedder, vectors)
    examples = SmallTalk(embedder).vectors()
    shipped_vectors.save(VECTORS, embedder, examples)
    print(f"{len(vectors)} passages, {len(examples)} examples of small talk")


if __name__ == "__main__":
    main()
