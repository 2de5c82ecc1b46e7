"""A conversation by curl alone, as an operator would have it."""

import asyncio
import json
import shutil
from typing import Any

import httpx
import pytest

from tests.conftest import Serving
from tests.media.samples import data_url, picture
from tests.upstream import Upstream, Wire, haiku_calls, haiku_says, llama_chunk

CURL = shutil.which("curl")
QUESTION = "Quanto costa una PT PMA, e che documento è questo?"


async def curl(service: httpx.AsyncClient, body: Any) -> str:
    """What curl prints of the answer to a /chat; the body goes in through standard input."""
    if CURL is None:
        pytest.skip("curl is not installed")
    process = await asyncio.create_subprocess_exec(
        *(CURL, "-sSN", "--fail-with-body", f"{service.base_url}/chat"),
        *("-H", "Content-Type: application/json", "--data-binary", "@-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate(json.dumps(body).encode())
    assert process.returncode == 0, out
    return out.decode()


def deltas(stream: str) -> str:
    events = [block.splitlines() for block in stream.strip().split("\n\n")]
    return "".join(
        json.loads(data.removeprefix("data: "))["text"]
        for name, data in (event for event in events if len(event) == 2)
        if name == "event: delta"
    )


async def test_a_conversation_with_a_picture_with_tools_and_a_primary_that_fails_in_the_middle(
    upstream: Upstream, serving: Serving
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Un passaporto, "))
        wire.reset()

    upstream.llama(breaks_off)
    upstream.haiku(
        haiku_says(" valido."),
        haiku_calls(("toolu_1", "get_service_prices", {"query": "PT PMA"})),
        haiku_says("25 milioni."),
    )
    async with serving() as service:
        files = [data_url("image/png", picture("PNG"))]
        first = await curl(service, {"message": QUESTION, "files": files, "stream": True})
        said = deltas(first)
        history = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": said},
        ]
        second = await curl(
            service,
            {"messages": [*history, {"role": "user", "content": "Quanto costa?"}], "tools": True},
        )

    assert said == "Un passaporto, valido."
    assert "event: done" in first
    shown = upstream.haiku_calls[0].json["messages"][-2]["content"]
    assert [part["type"] for part in shown] == ["image", "text"]
    answer = json.loads(second)
    assert answer["answer"] == "25 milioni."
    assert [tool["name"] for tool in answer["tools"]] == ["get_service_prices"]
