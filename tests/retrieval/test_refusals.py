"""A passage that the embedder never takes holds up no other, and is shown."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.errors import VectorsUnavailable
from app.retrieval.catalogue import Entry
from app.retrieval.embedder import Vectors
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.pending_vectors import MAX_REFUSALS
from app.retrieval.refusals import embed_each
from app.settings import Settings
from tests.retrieval.material import EVERYONE, EVERYTHING, MadeUpEmbedder, write

PARTS = 40
DOCUMENT = "# Long\n\n" + "\n\n".join(
    f"## Part {n}\n\nPart {n} holds {'poison' if n == 7 else 'water'}." for n in range(PARTS)
)


class Refusing(MadeUpEmbedder):
    """Refuses a word, alone and among others; `down` it takes nothing."""

    def __init__(self, name: str = "made-up") -> None:
        super().__init__()
        self.name = name
        self.asked: list[int] = []
        self.down = False

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.asked.append(len(texts))
        if self.down or any("poison" in text for text in texts):
            raise VectorsUnavailable("it takes no such text")
        return super().embed_passages(texts)


def test_the_texts_that_are_refused_are_found_by_halves() -> None:
    embedder = Refusing()
    texts = {str(n): f"poison {n}" if n in (3, 9) else f"water {n}" for n in range(16)}
    assert embed_each(embedder, texts).keys() == texts.keys() - {"3", "9"}
    assert len(embedder.asked) < 2 * len(texts)


def test_an_embedder_that_takes_nothing_is_not_asked_for_every_text() -> None:
    embedder = Refusing()
    embedder.down = True
    with pytest.raises(VectorsUnavailable):
        embed_each(embedder, {str(n): "water" for n in range(16)})
    assert len(embedder.asked) == 2


async def until_nothing_waits(knowledge_base: KnowledgeBase) -> Entry:
    async with asyncio.timeout(60):
        while True:
            (entry,), totals = await knowledge_base.catalogue.entries(EVERYTHING, 1)
            if not totals.pending_vectors:
                return entry
            await asyncio.sleep(0.01)


async def test_a_refused_passage_is_counted_and_the_others_have_their_vectors(
    settings: Settings, tmp_path: Path
) -> None:
    write(tmp_path, "docs/long.md", DOCUMENT)
    embedder = Refusing()
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([tmp_path / "docs"])
        entry = await until_nothing_waits(knowledge_base)
        found = await knowledge_base.search("poison", groups=EVERYONE)
    assert (summary.chunks, summary.without_vectors) == (PARTS, "")
    assert (entry.chunks, entry.refused_by_embedder) == (PARTS, 1)
    assert "poison" in found.passages[0].text
    alone = embedder.asked.count(1)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await until_nothing_waits(knowledge_base)
    # Not asked for again; each time that it was alone, it was compared with a harmless text.
    assert embedder.asked.count(1) == alone
    assert MAX_REFUSALS <= alone < PARTS

    # Nor is it in the way of another embedder that refuses it.
    other = Refusing("another")
    assert await KnowledgeBase.rebuild(settings, embedder=other) == PARTS
    async with KnowledgeBase.open(settings, other) as knowledge_base:
        entry = await until_nothing_waits(knowledge_base)
    assert (entry.chunks, entry.refused_by_embedder) == (PARTS, 1)
