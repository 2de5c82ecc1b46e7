"""Rows 14 and 16 of the security matrix: what a caller may ask for, and how often."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

from app.access.keys import KeyScope
from app.api.rate_limits import client_address
from app.api.schemas import MAX_CHARS, MAX_MESSAGES, MAX_TOKENS
from app.settings import Settings
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.upstream import Upstream, Wire, llama_chunk, llama_says, llama_usage

SEARCH = {"query": "Quanto dura il KITAS?"}
PER_ADDRESS = {"requests_per_minute_per_address": 2, "allow_no_keys": True}
STRANGER = {"X-Forwarded-For": "203.0.113.7"}
"""Not at the machine: through some proxy."""


async def statuses(client: httpx.AsyncClient, *headers: dict[str, str]) -> list[int]:
    return [
        (await client.post("/search", json=SEARCH, headers=each)).status_code for each in headers
    ]


async def test_row_16_a_forged_address_is_ignored(serving: Serving) -> None:
    async with serving(**PER_ADDRESS) as client:
        forged = [
            {"X-Forwarded-For": f"203.0.113.{n}", "Fly-Client-IP": f"198.51.100.{n}"}
            for n in range(4)
        ]
        assert await statuses(client, *forged) == [200, 200, 429, 429]
        over = await client.post("/search", json=SEARCH, headers=STRANGER)

    assert over.status_code == 429
    assert "over the limit of 2 requests a minute of this address" in over.json()["detail"]
    assert 1 <= int(over.headers["retry-after"]) <= 120


async def test_row_16_through_fly_each_client_is_counted_for_itself(serving: Serving) -> None:
    async with serving(**PER_ADDRESS, trusted_proxies="127.0.0.0/8") as client:
        for n in range(2):
            mine = {"Fly-Client-IP": f"198.51.100.{n}", "X-Forwarded-For": "203.0.113.7"}
            others = {**mine, "X-Forwarded-For": "203.0.113.8"}
            assert await statuses(client, mine, others, mine) == [200, 200, 429]


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("172.16.3.9", "198.51.100.1", "198.51.100.1"),
        ("172.16.3.9", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("172.16.3.9", "nonsense", "172.16.3.9"),
        ("172.16.3.9", "198.51.100.1, 203.0.113.7", "172.16.3.9"),
        ("fdaa:0:1::3", "198.51.100.1", "fdaa:0:1::/64"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("::ffff:172.16.3.9", "198.51.100.1", "198.51.100.1"),
        ("no address", "198.51.100.1", "no address"),
    ],
)
def test_row_16_the_header_counts_from_flys_proxy_alone(peer: str, told: str, address: str) -> None:
    headers = [(b"fly-client-ip", told.encode()), (b"x-forwarded-for", b"192.0.2.1")]
    request = HTTPConnection({"type": "http", "headers": headers, "client": (peer, 1)})
    trusted = Settings(_env_file=None, trusted_proxies="172.16.0.0/12, 10.0.0.0/8").trusted_networks

    assert client_address(request, trusted) == address


async def test_a_key_s_requests_and_tokens_are_counted_wherever_it_comes_from(
    serving: Serving, upstream: Upstream, data_dir: Any
) -> None:
    upstream.llama(llama_says("Dieci.", usage=llama_usage(900, 200)))
    few = make_key(data_dir, "few", KeyScope.CHAT, requests_per_minute=2)
    short = make_key(data_dir, "short", KeyScope.CHAT, tokens_per_minute=1000)
    async with serving(trusted_proxies="127.0.0.0/8") as client:
        from_two = [{**bearing(few), "Fly-Client-IP": f"198.51.100.{n}"} for n in (1, 2, 3)]
        assert await statuses(client, *from_two) == [200, 200, 429]
        body = {"message": "Quanto capitale?", "stream": True}
        streamed = await client.post("/chat", json=body, headers=bearing(short))
        assert streamed.text.count("event: done") == 1
        over = await client.get("/v1/models", headers=bearing(short))

    assert over.status_code == 429
    assert over.json()["error"]["type"] == "rate_limit_error"
    assert "1000 tokens a minute of this key" in over.json()["error"]["message"]
    assert int(over.headers["retry-after"]) >= 1


async def test_a_caller_s_streams_at_once_are_limited_by_key_and_by_address(
    serving: Serving, upstream: Upstream, data_dir: Any
) -> None:
    async def begun(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Dieci "))
        await wire.hang()

    upstream.llama(begun, begun, begun)
    mine, other = (make_key(data_dir, name, KeyScope.CHAT) for name in ("mine", "other"))
    body = {"message": "Quanto capitale?", "stream": True}
    limits = {"concurrent_requests_per_key": 2, "concurrent_requests_per_address": 3}
    read: list[AsyncIterator[str]] = []
    async with serving(**limits) as client, AsyncExitStack() as streams:

        async def stream(key: str) -> AsyncExitStack:
            opened = await streams.enter_async_context(AsyncExitStack())
            sent = client.stream("POST", "/chat", json=body, headers=bearing(key))
            response = await opened.enter_async_context(sent)
            assert response.status_code == 200
            lines = response.aiter_lines()
            read.append(lines)  # dropped, it would hang up
            async for line in lines:
                if "Dieci" in line:
                    return opened
            raise AssertionError("no answer")

        first, _ = await stream(mine), await stream(mine)
        over = await client.post("/chat", json=body, headers=bearing(mine))
        assert over.status_code == 429
        assert over.headers["retry-after"] == "1"
        assert "over the limit of 2 requests at once of this key" in over.json()["detail"]
        await stream(other)
        over = await client.get("/v1/models", headers=bearing(other))
        assert "3 requests at once of this address" in over.json()["error"]["message"]
        await first.aclose()  # it hangs up: the place is another's as soon as that is seen
        async with asyncio.timeout(30):
            while await statuses(client, bearing(mine)) != [200]:
                await asyncio.sleep(0.02)


async def test_who_sits_at_the_machine_has_no_limit(serving: Serving) -> None:
    async with serving(requests_per_minute_per_address=1) as client:
        assert await statuses(client, {}, {}, {}) == [200, 200, 200]


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions", "/api/chat"])
async def test_row_14_max_tokens_is_clamped(
    path: str, serving: Serving, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Dieci."))
    asked = {"role": "user", "content": "Quanto capitale?"}
    if path == "/api/chat":
        asked = {"role": "user", "parts": [{"type": "text", "text": "Quanto capitale?"}]}  # type: ignore[dict-item]
    body: dict[str, Any] = {"messages": [asked], "max_tokens": 10**9}
    if path.startswith("/v1"):
        body["model"] = "zantara"
    async with serving() as client:
        assert (await client.post(path, json=body)).status_code == 200
    assert upstream.llama_calls[0].json["max_tokens"] == MAX_TOKENS


async def test_row_14_a_prompt_beyond_every_window_is_refused_before_anything_is_paid(
    serving: Serving, upstream: Upstream
) -> None:
    long = "visto " * (MAX_CHARS // 6)
    unheard_of = "qwertz zxcvb " * (MAX_CHARS // 13)  # which the search would have rewritten
    before = [{"role": "user", "content": "Ciao"}, {"role": "assistant", "content": "Sì?"}]
    small = {"llama_context_tokens": 4096, "haiku_context_tokens": 4096, "question_rewriting": True}
    async with serving(**small) as client:
        for body in (
            {"message": long},
            {"message": unheard_of, "stream": True},
            {"messages": [*before, {"role": "user", "content": unheard_of}]},
        ):
            refused = await client.post("/chat", json=body)
            assert refused.status_code == 413, refused.text
            assert "over the window" in refused.json()["detail"]
    assert not upstream.calls


async def test_row_14_messages_have_bounds_in_number_and_length(
    serving: Serving, upstream: Upstream
) -> None:
    many = [{"role": "user", "content": "Ciao"}] * (MAX_MESSAGES + 1)
    async with serving() as client:
        for body in ({"message": "a" * (MAX_CHARS + 1)}, {"messages": many}):
            assert (await client.post("/chat", json=body)).status_code == 422
    assert not upstream.calls
