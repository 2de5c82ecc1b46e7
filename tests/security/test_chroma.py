"""Row 26 of the security matrix: a Chroma server, which knows no keys, and what is sent to it."""

import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import chromadb
import httpx
import numpy as np
import pytest
from chromadb import EmbeddingFunction, Embeddings
from chromadb.api.types import Embeddable
from chromadb.utils.embedding_functions import register_embedding_function

from app.errors import ConfigurationError, VectorsUnavailable
from app.main import create_app
from app.retrieval import chroma_client, knowledge_base
from app.retrieval.e5 import E5Embedder
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.private_network import public_addresses
from app.retrieval.vector_index import MadeBy
from tests.retrieval.chroma_server import ChromaServer
from tests.retrieval.material import EVERYONE, VISA, write
from tests.service import settings_for

QUESTION = "How long may a tourist stay?"


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "134744072", "0x8.8.8.8",
        "169.254.169.254", "100.64.0.1", "203.0.113.7", "172.32.0.1", "[fe80::1]",
        "[64:ff9b::808:808]",
    ],
)  # fmt: skip
async def test_row_26_a_server_on_a_public_address_stops_the_start(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings_for(tmp_path, chroma_url=f"http://{host}:8000"))
    monkeypatch.setattr(socket.socket, "connect", _not_to_be_called)

    with pytest.raises(ConfigurationError, match=r"CHROMA_URL: .* is the public address"):
        async with app.router.lifespan_context(app):
            pass


def _not_to_be_called(*_: Any) -> None:
    raise AssertionError("a socket was opened")


def resolver(*addresses: str) -> Any:
    """Stands in for the network's names, which cannot be reached from a test."""

    def resolved(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (a, 0, 0, 0)) for a in addresses]

    return resolved


@pytest.mark.parametrize(
    ("addresses", "outside"),
    [
        (["fdaa:0:1::3"], []),  # nuzantara-chroma.internal, and .flycast
        (["127.0.0.1", "::1", "::ffff:10.0.0.1"], []),
        (["10.0.0.9", "172.31.255.254", "192.168.1.1"], []),
        (["10.0.0.9", "8.8.8.8"], ["8.8.8.8"]),  # either may be the one that is called
        (["::ffff:8.8.8.8"], ["::ffff:8.8.8.8"]),
        (["fe80::1%eth0"], ["fe80::1%eth0"]),
        ([], []),  # it does not resolve now
    ],
)
def test_row_26_every_address_that_a_name_leads_to_counts(
    addresses: Sequence[str], outside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver(*addresses))

    assert public_addresses("nuzantara-chroma.internal") == outside


def test_row_26_a_name_that_leads_elsewhere_later_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver())
    chroma_client.check_private("http://chroma.internal:8000")  # nobody knows it yet
    monkeypatch.setattr(socket, "getaddrinfo", resolver("8.8.8.8"))
    monkeypatch.setattr(socket.socket, "connect", _not_to_be_called)

    with pytest.raises(VectorsUnavailable, match=r"public address 8\.8\.8\.8"):
        chroma_client.served("http://chroma.internal:8000")


BUILT: list[str] = []
"""What ran in this process because the server said so."""


@register_embedding_function
class Trap(EmbeddingFunction[Embeddable]):
    """Any of the functions that Chroma knows by name, with arguments of the server's choice."""

    def __init__(self) -> None:
        BUILT.append("made")

    def __call__(self, input: Embeddable) -> Embeddings:  # noqa: A002 - Chroma's name for it
        BUILT.append("called")
        return [np.ones(384, dtype=np.float32) for _ in input]

    @staticmethod
    def name() -> str:
        return "trap"

    def get_config(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "Trap":  # noqa: ARG004 - Chroma's signature
        return Trap()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ChromaServer]:
    server = ChromaServer(tmp_path / "server")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Every body that is sent to a Chroma server, with its path."""
    seen: list[tuple[str, Any]] = []
    send = httpx.Client.send

    def noting(client: httpx.Client, request: httpx.Request, **how: Any) -> httpx.Response:
        if "/api/v2/" in request.url.path and request.content:
            seen.append((request.url.path.rpartition("/")[2], json.loads(request.content)))
        return send(client, request, **how)

    monkeypatch.setattr(httpx.Client, "send", noting)
    return seen


async def test_row_26_no_function_that_the_server_names_is_built_and_all_vectors_are_ours(
    server: ChromaServer,
    tmp_path: Path,
    sent: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(knowledge_base, "_READY_WAIT_S", 120.0)
    monkeypatch.setattr(knowledge_base, "_INDEX_WAIT_S", 120.0)
    embedder = E5Embedder()
    made_by = MadeBy.of(embedder)
    ours = f"zantara-{made_by.digest}-"
    stranger = chromadb.HttpClient("127.0.0.1", server.port)
    for name, metadata in (
        (f"{ours}en.public.current", asdict(made_by)),
        (f"{ours}documents", {"token": "x", "generation": "y"}),
    ):
        stranger.create_collection(name, embedding_function=Trap(), metadata=metadata)
    sent.clear()
    BUILT.clear()
    knowledge = tmp_path / "knowledge"
    write(knowledge, "visa.md", VISA)
    settings = settings_for(tmp_path / "data", knowledge_dir=knowledge, chroma_url=server.url)

    async with KnowledgeBase.open(settings, embedder) as opened:
        await opened.wait_ready(120)
        found = await opened.search(QUESTION, groups=EVERYONE)

    assert not found.degraded
    assert found.passages[0].document_id == "visa"
    assert BUILT == []
    written = [body for path, body in sent if path in ("add", "upsert", "update")]
    asked = [body for path, body in sent if path == "query"]
    made = [body for path, body in sent if path == "collections"]
    assert min(len(written), len(asked), len(made)) > 0
    assert all(len(body["embeddings"]) == len(body["ids"]) for body in written)
    assert all(len(body["query_embeddings"]) == 1 for body in asked)
    assert not [path for path, body in sent if '"name": "' in json.dumps(_functions(body))]


def _functions(body: Any) -> list[Any]:
    """Whatever stands under `embedding_function` in a body, however deep."""
    if isinstance(body, dict):
        here = [body["embedding_function"]] if body.get("embedding_function") else []
        return here + [each for value in body.values() for each in _functions(value)]
    if isinstance(body, list):
        return [each for value in body for each in _functions(value)]
    return []
