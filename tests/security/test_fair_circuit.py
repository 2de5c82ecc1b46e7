"""Row 35 of the security matrix: one key's requests fail, the circuit of others stays closed."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.keys import KeyScope
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.upstream import Step, Upstream, Wire, haiku_says, llama_says, status

NO_PICTURES = {"error": {"code": 404, "message": "No endpoints found that support image input"}}


async def ask(client: httpx.AsyncClient, key: str = "", *questions: str) -> Any:
    messages = [{"role": "user", "content": question} for question in questions or ("Hello",)]
    body = {"model": "llama-scout", "messages": messages}
    answer = await client.post(
        "/v1/chat/completions", json=body, headers=bearing(key) if key else {}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["model"]


def late(seconds: float) -> Step:
    async def step(wire: Wire) -> None:
        await asyncio.sleep(seconds)  # what the model takes to read the prompt
        await llama_says("Read.")(wire)

    return step


@pytest.mark.parametrize(("fault", "times"), [(status(500), 5), (status(429, Retry_After="60"), 1)])
async def test_row_35_a_keys_failing_requests_leave_llama_to_the_others(
    fault: Step, times: int, upstream: Upstream, serving: Serving, data_dir: Path
) -> None:
    ada, bob = (make_key(data_dir, name, KeyScope.CHAT) for name in ("ada", "bob"))
    upstream.llama(*[fault] * times, llama_says("Hello."))
    upstream.haiku(*[haiku_says("Hello.")] * (times + 1))
    async with serving() as client:
        by_bob = [await ask(client, bob) for _ in range(times + 1)]
        by_ada = await ask(client, ada)

    assert {name.split("-")[0] for name in by_bob} == {"claude"}
    assert by_ada == "meta-llama/llama-4-scout"


async def test_row_35_a_long_prompt_may_be_read_for_longer(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(*[late(0.5)] * 6, llama_says("Hello."))
    long = ["word " * 6_000] * 9
    async with serving(first_content_timeout_s=0.4) as client:
        read = await asyncio.gather(*(ask(client, "", *long) for _ in range(6)))
        after = await ask(client)

    assert set(read) == {after} == {"meta-llama/llama-4-scout"}


async def test_row_35_a_picture_that_llama_does_not_take_says_nothing_of_llama(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(*[status(404, NO_PICTURES)] * 6, llama_says("Hello."))
    upstream.haiku(*[haiku_says("Hello.")] * 6)
    async with serving() as client:
        for _ in range(6):
            await ask(client)
        assert await ask(client) == "meta-llama/llama-4-scout"
