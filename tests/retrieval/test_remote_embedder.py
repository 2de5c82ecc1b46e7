import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import Response
from fastapi.responses import JSONResponse, RedirectResponse

from app.errors import VectorsUnavailable
from app.retrieval import remote_embedder, vector_worker
from app.retrieval.e5 import E5Embedder
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.records import PUBLIC
from app.retrieval.remote_embedder import RemoteEmbedder
from app.settings import Settings
from tests.retrieval.embeddings_server import EmbeddingsServer, embeddings_server

EVERYBODY = frozenset({PUBLIC})
CAPITAL = "# Capital\n\nA foreign-owned company needs ten billion rupiah of investment."
VISA = "# Visas\n\nA retirement visa is for people of sixty and more."


@pytest.fixture
def server(embedder: E5Embedder) -> Iterator[EmbeddingsServer]:
    with embeddings_server(embedder) as running:
        yield running


@contextmanager
def remote(server: EmbeddingsServer, dimension: int = 384) -> Iterator[RemoteEmbedder]:
    with closing(RemoteEmbedder(server.url, "e5", dimension, "secret-key")) as embedder:
        yield embedder


def test_vectors_come_back_in_their_order_at_unit_length(
    server: EmbeddingsServer, embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_embedder, "BATCH", 4)
    texts = [f"passage {n}" for n in range(10)]

    with remote(server) as embedder_of_server:
        vectors = embedder_of_server.embed_passages(texts)

    np.testing.assert_allclose(vectors, embedder.embed_passages(texts), atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert [len(body["input"]) for body in server.bodies] == [4, 4, 2]
    assert server.bodies[0]["model"] == "e5"
    assert server.keys[0] == "Bearer secret-key"


def rows(*vectors: list[float]) -> Response:
    return JSONResponse({"data": [{"index": i, "embedding": v} for i, v in enumerate(vectors)]})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Response("no", 401), "HTTP 401"),
        (Response("<html>"), "not OpenAI's embeddings object"),
        (Response(b"\xff\xfe"), "not OpenAI's embeddings object"),
        (RedirectResponse("http://127.0.0.1:1/"), "HTTP 307"),
        (rows(), "0 vectors for 1 texts"),
        (rows([1.0, 0.0], [1.0, 0.0]), "2 vectors for 1 texts"),
        (rows([1.0, 0.0]), "set EMBEDDINGS_DIMENSIONS"),
        (rows([0.0, 0.0, 0.0]), "a vector without a direction"),
        (rows([1e300, 0.0, 0.0]), "a vector without a direction"),
        (Response(b" " * 9_000_000), "over 8388608 bytes"),
    ],
)
def test_what_is_no_vector_is_named(answer: Response, why: str, server: EmbeddingsServer) -> None:
    server.answer = lambda _: answer

    with remote(server, 3) as embedder, pytest.raises(VectorsUnavailable, match=why):
        embedder.embed_queries(["Wie?"])


@pytest.fixture
def configured(settings: Settings, server: EmbeddingsServer) -> Settings:
    return Settings(
        data_dir=settings.data_dir,
        knowledge_dir=settings.knowledge_dir,
        embeddings_url=server.url,
        embeddings_model="e5",
        embeddings_dimensions=384,
    )


async def test_a_knowledge_base_searches_with_it_and_by_words_when_it_fails(
    configured: Settings, knowledge: Path, server: EmbeddingsServer
) -> None:
    (knowledge / "capital.md").write_text(CAPITAL)
    (knowledge / "visa.md").write_text(VISA)
    async with KnowledgeBase.open(configured) as knowledge_base:
        found = await knowledge_base.search("Quanti soldi per una società?", groups=EVERYBODY)
        server.answer = lambda _: Response("down", 503)
        by_words = await knowledge_base.search("retirement visa", groups=EVERYBODY)

    assert (found.passages[0].document_id, found.degraded) == ("capital", False)
    assert (by_words.passages[0].document_id, by_words.degraded) == ("visa", True)


async def test_what_could_not_be_embedded_is_found_by_words_and_embedded_later(
    configured: Settings, tmp_path: Path, server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_worker, "RETRY_S", 0.01)
    document = tmp_path / "visa.md"
    document.write_text(VISA)
    working = server.answer
    async with KnowledgeBase.open(configured) as knowledge_base:
        server.answer = lambda _: Response("down", 503)
        first = await knowledge_base.add([document])
        found = await knowledge_base.search("retirement visa", groups=EVERYBODY)
        server.answer = working
        async with asyncio.timeout(60):
            while (again := await knowledge_base.add([document])).without_vectors:
                await asyncio.sleep(0.01)

    assert (first.added, "HTTP 503" in first.without_vectors) == (1, True)
    assert found.passages[0].document_id == "visa"
    assert (again.unchanged, again.rejected) == (1, [])


async def test_a_server_that_is_slow_does_not_hold_up_the_answer(
    configured: Settings, knowledge: Path, server: EmbeddingsServer
) -> None:
    (knowledge / "visa.md").write_text(VISA)
    async with KnowledgeBase.open(configured) as knowledge_base:
        await knowledge_base.wait_ready(60)
        release = threading.Event()

        def late(_: dict[str, Any]) -> Response:
            release.wait(60)
            return Response("late", 503)

        server.answer = late
        found = await knowledge_base.search("a retirement visa, now", groups=EVERYBODY)
        release.set()

    assert (found.passages[0].document_id, found.degraded) == ("visa", True)
