import gc
from collections.abc import Iterator
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tests.conftest import Serving
from tests.upstream import Upstream, llama_says

QUESTION = "Quanto capitale serve per una PT PMA?"
SAID = {"model": "llama-scout", "messages": [{"role": "user", "content": QUESTION}]}


@pytest.fixture
def _without_a_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def requests_in_memory() -> list[str]:
    """Of uvicorn's requests, what was asked for."""
    return [
        cycle.scope["path"] for cycle in gc.get_objects() if isinstance(cycle, RequestResponseCycle)
    ]


@pytest.mark.usefixtures("_without_a_collector")
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/chat", {"message": QUESTION}), ("/v1/chat/completions", SAID)],
    ids=["chat", "completions"],
)
async def test_what_belongs_to_a_request_is_let_go_with_it_and_waits_for_no_collector(
    path: str, body: dict[str, Any], stream: bool, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(*[llama_says("Oltre 10 miliardi.")] * 3)
    async with serving(query_rewriting=False) as client:
        for _ in range(3):
            assert (await client.post(path, json={**body, "stream": stream})).status_code == 200
        # A connection has its last request.
        assert (await client.get("/health")).status_code == 200

        assert path not in requests_in_memory()
