"""Whose passages are embedded next."""

import asyncio
from collections.abc import Sequence

from app.retrieval.embedder import Vectors
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.options import IngestOptions
from app.retrieval.vector_worker import SLICE
from app.settings import Settings
from tests.retrieval.material import EVERYTHING, MadeUpEmbedder


def document(name: str, parts: int) -> bytes:
    body = "\n\n".join(f"## {name} {n}\n\nThe {name} {n} is open." for n in range(parts))
    return f"# {name}\n\n{body}".encode()


async def test_a_large_document_is_embedded_while_its_caller_goes_on_sending_small_ones(
    settings: Settings,
) -> None:
    sent = 0

    class Feeding(MadeUpEmbedder):
        """Is not done with a slice before there is another small document."""

        def embed_passages(self, texts: Sequence[str]) -> Vectors:
            if feeds:
                asyncio.run_coroutine_threadsafe(send_small(), loop).result(60)
            return super().embed_passages(texts)

    async def send_small() -> None:
        nonlocal sent
        sent += 1
        file = document(f"small{sent}", SLICE)
        await knowledge_base.add_upload(f"small{sent}.md", file, IngestOptions(force=True))

    async def waiting() -> int:
        entries, _ = await knowledge_base.catalogue.entries(EVERYTHING, 100)
        return next(entry.pending_vectors for entry in entries if entry.id == "large")

    loop, feeds = asyncio.get_running_loop(), True
    large = document("large", 6 * SLICE)
    async with KnowledgeBase.open(settings, Feeding()) as knowledge_base:
        await knowledge_base.wait_ready(60)
        await knowledge_base.add_upload("large.md", large, IngestOptions(force=True))
        async with asyncio.timeout(120):
            while await waiting() and sent < 40:
                await asyncio.sleep(0.01)
        # Of twelve slices six are the oldest document's.
        assert await waiting() == 0
        feeds = False
