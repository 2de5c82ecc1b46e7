"""Nobody takes more than their share: each attack by one key, while another one works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx

from app.access.keys import KeyScope
from tests.conftest import Serving
from tests.keys import bearing, make_key


@asynccontextmanager
async def with_key(
    client: httpx.AsyncClient, data_dir: Path, name: str, *scopes: KeyScope
) -> AsyncIterator[httpx.AsyncClient]:
    """Another client of the same service, with a key of its own."""
    headers = bearing(make_key(data_dir, name, *scopes))
    async with httpx.AsyncClient(base_url=client.base_url, headers=headers, timeout=60) as keyed:
        while (await keyed.post("/search", json={})).status_code == 401:
            await asyncio.sleep(0.05)
        yield keyed


def long_text(number: int) -> str:
    return " ".join(f"{number} visa {word}" for word in range(300))[:1_990]


async def test_long_searches_of_one_key_do_not_degrade_those_of_another(
    serving: Serving, data_dir: Path
) -> None:
    make_key(data_dir, "first", KeyScope.CHAT)
    languages = ("it", "en", "id", "fr", "de", "es", "nl", "pt", "ja", "ko")
    async with (
        serving() as client,
        with_key(client, data_dir, "greedy", KeyScope.CHAT) as greedy,
        with_key(client, data_dir, "other", KeyScope.CHAT) as other,
    ):

        async def long_searches(first: int) -> None:
            for number in count(first, 20):
                texts = {code: long_text(100 * number + i) for i, code in enumerate(languages)}
                body = {"query": long_text(100 * number + 99), "translations": texts}
                answer = await greedy.post("/search", json=body)
                assert answer.status_code in (200, 429)

        attack = [asyncio.create_task(long_searches(first)) for first in range(20)]
        await greedy.post("/search", json={"query": "visa"})
        answers = [
            (await other.post("/search", json={"query": f"Quanto dura il visto {n}?"})).json()
            for n in range(5)
        ]
        assert not any(task.done() for task in attack)
        for task in attack:
            task.cancel()
        await asyncio.gather(*attack, return_exceptions=True)

    assert [answer["degraded"] for answer in answers] == [False] * 5
