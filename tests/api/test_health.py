import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.keys import KeyScope
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.service import running, settings_for
from tests.upstream import Upstream, haiku_says, llama_says, llama_usage, status

# Copied from the guide, to the character.
ACTIVE = {
    "primary": "Llama 4 Scout (109B MoE, 17B active - 92% cheaper, 22% faster)",
    "fallback": "Claude Haiku 4.5 (for errors & tool calling)",
    "routing": "Intelligent Router (Llama primary → Haiku fallback)",
    "cost_savings": "92% cheaper than Haiku ($0.20 vs $1-5 per 1M tokens)",
    "performance": "22% faster TTFT (~880ms), 50x context (10M tokens)",
    "status": "🦙 Llama 4 Scout ACTIVE",
}
HAIKU_ONLY = {"status": "⚡ Haiku-only mode (add OPENROUTER_API_KEY_LLAMA for Llama 4)"}
NO_AI = {
    "status": "❌ No AI configured",
    "setup_required": "Set OPENROUTER_API_KEY_LLAMA or ANTHROPIC_API_KEY",
}
UNAUTHORISED = status(401, {"error": {"message": "invalid"}})


async def ai(client: httpx.AsyncClient) -> Any:
    response = await client.get("/health")
    assert response.status_code == 200
    return response.json()["features"]["ai"]


async def until_status(client: httpx.AsyncClient, text: str) -> Any:
    async with asyncio.timeout(5):
        while text not in (state := await ai(client))["status"]:
            await asyncio.sleep(0.01)
    return state


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ACTIVE),
        ({"anthropic_api_key": None}, ACTIVE),
        ({"openrouter_api_key_llama": None}, HAIKU_ONLY),
        ({"openrouter_api_key_llama": None, "anthropic_api_key": None}, NO_AI),
    ],
)
async def test_the_guides_object_in_its_three_states(
    settings: dict[str, None], expected: dict[str, str], serving: Serving
) -> None:
    async with serving(**settings) as client:
        assert await ai(client) == expected


async def test_a_forced_haiku_shows(serving: Serving) -> None:
    async with serving(force_haiku=True) as client:
        state = await ai(client)

    assert state == {"status": "⚡ Haiku-only mode (FORCE_HAIKU is set; unset it for Llama 4)"}


async def test_a_forced_haiku_without_its_key_says_what_to_do(serving: Serving) -> None:
    async with serving(force_haiku=True, anthropic_api_key=None) as client:
        state = await ai(client)
        head = await client.head("/health")

    assert state["status"].startswith("❌ No AI configured")
    assert state["setup_required"] == "Set ANTHROPIC_API_KEY or unset FORCE_HAIKU"
    assert head.status_code == 200


async def test_a_key_that_is_set_but_rejected_shows(upstream: Upstream, serving: Serving) -> None:
    upstream.openrouter_key = UNAUTHORISED
    async with serving() as client:
        state = await until_status(client, "rejected")
        assert state["status"].startswith("⚡ Haiku-only mode")

        upstream.anthropic_key = UNAUTHORISED
    async with serving() as client:
        state = await until_status(client, "ANTHROPIC_API_KEY was rejected")
        assert state["status"].startswith("❌ No AI configured")
        assert state["setup_required"] == NO_AI["setup_required"]


async def test_two_circuits_that_cool_down_are_no_lack_of_configuration(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(429, Retry_After="90"))
    upstream.haiku(status(429, Retry_After="90"))
    async with serving() as client:
        await client.post("/chat", json={"message": "Serve un visto?"})
        state = await ai(client)

    assert state["status"].startswith("⏳ No AI for the moment (Llama 4: circuit open")
    assert "Haiku: circuit open" in state["status"]
    assert "setup_required" not in state


async def test_a_key_rejected_by_a_call_shows_and_the_next_call_goes_to_haiku_at_once(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.openrouter_key = status(404)  # as with a compatible server of one's own
    upstream.llama(UNAUTHORISED)
    upstream.haiku(haiku_says("Uno."), haiku_says("Due."))
    async with serving() as client:
        for expected in ("Uno.", "Due."):
            answer = (await client.post("/chat", json={"message": "PT PMA?"})).json()
            assert answer["answer"] == expected
        assert "rejected" in (await ai(client))["status"]


async def test_spent_credit_and_an_open_circuit_show(upstream: Upstream, serving: Serving) -> None:
    upstream.openrouter_key = status(200, {"data": {"limit_remaining": 0}})
    async with serving() as client:
        state = await until_status(client, "credit")
        assert state["status"].startswith("⚡ Haiku-only mode (the credit of OPENROUTER_API_KEY")

    upstream.openrouter_key = status(404)
    upstream.llama(status(429, Retry_After="60"))
    upstream.haiku(haiku_says("Uno."))
    async with serving() as client:
        await client.post("/chat", json={"message": "PT PMA?"})
        state = await ai(client)
    assert state["status"].startswith("⚡ Haiku-only mode (Llama 4: circuit open after failures")


async def test_what_was_measured_is_what_happened(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(llama_says("Uno.", usage=llama_usage(cost=0.0004)), status(500), status(500))
    upstream.haiku(haiku_says("Due."), status(403))
    async with serving() as client:
        for _ in range(3):
            await client.post("/chat", json={"message": "Quanto capitale per una PT PMA?"})
        body = (await client.get("/health")).json()

    measured = body["measured"]
    assert measured["calls"] == {"llama-scout": 3, "haiku": 2}
    assert measured["llama_success"] == 1
    assert measured["llama_failures"] == measured["haiku_fallbacks"] == 2
    assert measured["fallback_rate"] == pytest.approx(2 / 3, abs=1e-4)
    assert measured["cost_usd"] == pytest.approx(0.0004 + 600e-6 + 120 * 5e-6)
    assert measured["saved_usd"] == pytest.approx(500e-6 + 100 * 5e-6 - 0.0004)
    assert measured["median_ttft_ms"]["llama-scout"] > 0
    assert body["service"] == "zantara-backend"
    assert body["version"]
    assert body["uptime_s"] >= 0
    assert body["knowledge"]["ready"] is True
    assert body["knowledge"]["documents"] == 31
    assert body["knowledge"]["chunks"] > 100
    assert body["providers"]["llama-scout"]["circuit"] == "closed"


async def test_a_search_that_goes_by_words_alone_shows(serving: Serving, tmp_path: Path) -> None:
    async def until(expected: str) -> None:
        async with asyncio.timeout(60):
            while (await client.get("/health")).json()["knowledge"]["search"] != expected:
                await asyncio.sleep(0.05)

    async with serving() as client:
        await until("whole")
    (tmp_path / "none").mkdir()
    no_embedder = settings_for(
        tmp_path / "other",
        knowledge_dir=tmp_path / "none",
        embeddings_url="http://127.0.0.1:9",  # where nobody listens
        embeddings_model="none",
        embeddings_dimensions=8,
    )
    async with running(no_embedder) as client:
        await until("by words alone")


OPERATORS_OWN = ("version", "uptime_s", "knowledge", "providers", "measured")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ACTIVE),
        ({"openrouter_api_key_llama": None}, HAIKU_ONLY),
        ({"force_haiku": True}, HAIKU_ONLY),
        ({"openrouter_api_key_llama": None, "anthropic_api_key": None}, NO_AI),
    ],
)
async def test_row_37_strangers_learn_that_it_is_alive_and_the_guides_object(
    settings: dict[str, Any], expected: dict[str, str], serving: Serving, data_dir: Path
) -> None:
    keys = {scope: make_key(data_dir, scope, scope) for scope in KeyScope}
    async with serving(**settings) as client:
        strangers: list[dict[str, str]] = [
            {},
            bearing("zantara-" + "x" * 43),
            bearing(keys[KeyScope.CHAT]),
            bearing(keys[KeyScope.DOCUMENTS]),
        ]
        for headers in strangers:
            assert (await client.get("/health", headers=headers)).json() == {
                "status": "ok",
                "service": "zantara-backend",
                "features": {"ai": expected},
            }
        told = (await client.get("/health", headers=bearing(keys[KeyScope.ADMIN]))).json()
    assert set(OPERATORS_OWN) <= set(told)


async def test_row_37_strangers_learn_neither_what_became_of_a_key_nor_of_a_circuit(
    upstream: Upstream, serving: Serving
) -> None:
    stranger = {"Sec-Fetch-Site": "cross-site"}

    async def ai_of_stranger() -> Any:
        return (await client.get("/health", headers=stranger)).json()["features"]["ai"]

    upstream.openrouter_key = UNAUTHORISED
    async with serving() as client:
        await until_status(client, "rejected")
        assert await ai_of_stranger() == HAIKU_ONLY

    upstream.openrouter_key = status(404)
    upstream.llama(status(429, Retry_After="60"))
    upstream.haiku(haiku_says("Uno."))
    async with serving() as client:
        await client.post("/chat", json={"message": "PT PMA?"})
        await until_status(client, "circuit open")
        assert await ai_of_stranger() == ACTIVE


async def test_no_answer_shows_a_key(serving: Serving) -> None:
    async with serving() as client:
        for path in ("/health", "/ready", "/openapi.json"):
            assert "planted" not in (await client.get(path)).text
