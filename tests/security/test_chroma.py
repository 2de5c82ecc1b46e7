"""Row 26 of the security matrix: Chroma is embedded, without a server and without its functions."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from chromadb import EmbeddingFunction, Embeddings
from chromadb.api.types import Embeddable
from chromadb.utils.embedding_functions import register_embedding_function

from app.retrieval import chroma_client
from app.retrieval.records import Partition, StoredVector
from app.retrieval.vector_index import MadeBy, VectorIndex
from app.settings import ROOT
from tests.retrieval.material import EVERYTHING

MADE_BY = MadeBy("made-up", 8)
PARTITION = Partition("en", "public", superseded=False)


def test_row_26_no_chroma_server_is_started_or_connected_to() -> None:
    code = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    deployed = [ROOT / "Dockerfile", ROOT / "fly.toml", *(ROOT / "deploy").rglob("*.*")]

    assert "PersistentClient" in code or "persist_directory" in code
    for client in ("HttpClient", "AsyncHttpClient", "CloudClient"):
        assert client not in code
    assert not [path for path in deployed if "chroma run" in path.read_text()]


BUILT: list[str] = []
"""What ran in this process because the index's files said so."""


@register_embedding_function
class Trap(EmbeddingFunction[Embeddable]):
    """Any of the functions that Chroma knows by name, with arguments of somebody's choice."""

    def __init__(self) -> None:
        BUILT.append("made")

    def __call__(self, input: Embeddable) -> Embeddings:  # noqa: A002 - Chroma's name for it
        BUILT.append("called")
        return [np.ones(8, dtype=np.float32) for _ in input]

    @staticmethod
    def name() -> str:
        return "trap"

    def get_config(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "Trap":  # noqa: ARG004 - Chroma's signature
        return Trap()


def test_row_26_no_function_that_the_index_names_is_built(tmp_path: Path) -> None:
    stranger = chroma_client.embedded(tmp_path)
    stranger.create_collection(
        "zantara-store-en.public.current", embedding_function=Trap(), metadata=asdict(MADE_BY)
    )
    stranger.close()
    BUILT.clear()

    index = VectorIndex.embedded(tmp_path, "store", MADE_BY)
    vector = np.full(8, 8**-0.5, dtype=np.float32)
    index.add([StoredVector(1, "doc", PARTITION, vector)])
    found = index.search(vector, 1, EVERYTHING.covers)
    index.close()

    assert [neighbour.chunk_id for neighbour in found[PARTITION]] == [1]
    assert BUILT == []
