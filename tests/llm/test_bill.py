"""What a provider said a call cost is what it cost, however the call ended."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from app.errors import AnswerUnavailable, ProviderError
from app.events import Message, TextDelta
from app.llm.ledger import CallRecord
from tests.faults.network import dropped
from tests.llm.conftest import OpenRouter
from tests.upstream import (
    Step,
    Upstream,
    Wire,
    haiku_events,
    llama_chunk,
    llama_says,
    llama_usage,
)

QUESTION = [Message("user", "Quanto capitale serve per una PT PMA?")]
BILL = llama_usage(1000, 500, cost=0.5)


def sends(events: Sequence[Any]) -> Step:
    async def step(wire: Wire) -> None:
        await wire.head()
        for event in events:
            await wire.event(event)
        await wire.end()

    return step


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        pytest.param([llama_chunk("Ciao"), BILL, "[DONE]"], "protocol", id="no finish reason"),
        pytest.param(
            [llama_chunk("", "content_filter"), BILL, "[DONE]"], "content_filter", id="refused"
        ),
        pytest.param(
            [llama_chunk("Ciao"), {**BILL, "error": {"code": 502, "message": "x"}}],
            "server",
            id="an error beside it",
        ),
        pytest.param(
            [llama_chunk("Ciao"), {"error": {"code": 502, "message": "x"}}, BILL],
            "server",
            id="after an error",
        ),
        pytest.param(
            [{"choices": [{"error": {"code": 402}, "finish_reason": "error"}]}, BILL],
            "payment",
            id="after an error of the choice",
        ),
        pytest.param(
            [llama_chunk("Ciao", "error"), BILL, "[DONE]"], "server", id="after a finish in error"
        ),
        pytest.param(
            [llama_chunk("Ciao", "stop"), "{rubbish", {"error": {"code": 500}}, BILL],
            "success",
            id="after rubbish and an error that follow the finish",
        ),
    ],
)
async def test_llamas_bill_stands_when_its_answer_does_not(
    upstream: Upstream,
    open_router: OpenRouter,
    events: list[Any],
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.llm.openrouter.USAGE_AFTER_FAILURE_S", 5.0)
    entries: list[CallRecord] = []
    upstream.llama(sends(events))
    async with open_router(anthropic_api_key=None, mid_answer_failure="error") as client:
        client.ledger.listeners.append(entries.append)
        with suppress(ProviderError, AnswerUnavailable):
            async for _ in client.stream(QUESTION):
                pass

    assert [(entry.outcome, entry.cost_usd) for entry in entries] == [(outcome, 0.5)]
    assert (entries[0].usage.input_tokens, entries[0].usage.estimated) == (1000, False)


async def test_words_that_were_sent_are_paid_for_when_the_model_breaks_off_without_a_bill(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    entries: list[CallRecord] = []
    upstream.llama(sends([llama_chunk("x" * 400), {"error": {"code": 502, "message": "x"}}]))
    async with open_router(anthropic_api_key=None) as client:
        client.ledger.listeners.append(entries.append)
        assert [event async for event in client.stream(QUESTION)]

    (entry,) = entries
    assert (entry.outcome, entry.usage.estimated) == ("server", True)
    assert (entry.usage.output_tokens, (entry.cost_usd or 0) > 0) == (100, True)


async def test_nobody_pays_less_by_hanging_up(upstream: Upstream, open_router: OpenRouter) -> None:
    entries: list[CallRecord] = []
    prompt = "0123456789" * 3_000  # a token each, at the worst
    upstream.llama(llama_says("說" * 50, "x", gate=asyncio.Event()))
    async with open_router() as client:
        client.ledger.listeners.append(entries.append)
        stream = client.stream([Message("user", prompt)])
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()
        reserved = client.ledger.most("openrouter", "meta-llama/llama-4-scout", 30_000, 50)
        spent = client.ledger.budget.spent_usd()

    (entry,) = entries
    assert (entry.outcome, entry.usage.estimated) == ("cancelled", True)
    assert entry.usage.input_tokens >= 30_000
    assert entry.usage.output_tokens >= 50
    assert spent == entry.cost_usd
    assert spent >= (reserved or 1)


async def test_what_haiku_said_it_read_is_paid_for_when_its_answer_breaks_off(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    start, *_ = haiku_events(())
    start["message"]["usage"] = {"input_tokens": 100_000, "output_tokens": 1}
    (piece,) = (e for e in haiku_events(["x" * 400]) if e["type"] == "content_block_delta")
    entries: list[CallRecord] = []
    upstream.haiku(sends([start, piece]))
    async with open_router(openrouter_api_key_llama=None) as client:
        client.ledger.listeners.append(entries.append)
        assert [event async for event in client.stream(QUESTION)]

    (entry,) = entries
    assert entry.usage.estimated
    assert (entry.usage.input_tokens, entry.usage.output_tokens) == (100_000, 100)
    assert entry.cost_usd == pytest.approx(0.1 + 0.0005)


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param(llama_usage(2**63 + 5), id="more tokens than SQLite counts"),
        pytest.param(llama_usage(2**70), id="more than 64 bits"),
        pytest.param(llama_usage(-100), id="fewer tokens than none"),
        pytest.param(llama_usage(cost=-3.5), id="a gift"),
        pytest.param(llama_usage(cost=1e12), id="a fortune"),
    ],
)
async def test_a_bill_out_of_all_bounds_is_not_believed(
    upstream: Upstream, open_router: OpenRouter, usage: Any
) -> None:
    upstream.llama(llama_says("Ciao, dieci miliardi.", usage=usage))
    async with open_router() as client:
        result = await client.chat_async(QUESTION)

    assert result.usage.estimated
    assert 0 < result.usage.input_tokens < 100
    assert 0 < (result.cost_usd or 0) < 0.01


async def test_a_call_whose_connection_never_came_about_costs_nothing(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    entries: list[CallRecord] = []

    async def begins(wire: Wire) -> None:
        await wire.head()
        while not client.ledger.in_flight["haiku"]:
            await wire.chunk(b": OPENROUTER PROCESSING\n\n")
        for event in (llama_chunk("Ciao."), llama_chunk(finish="stop"), llama_usage()):
            await wire.event(event)
        await wire.end()

    upstream.llama(begins)
    async with (
        dropped() as nowhere,
        open_router(anthropic_base_url=nowhere, hedge_after_ms=20) as client,
    ):
        client.ledger.listeners.append(entries.append)
        assert (await client.chat_async(QUESTION)).text == "Ciao."

    assert {(e.ai, e.outcome): (e.cost_usd, e.usage.input_tokens) for e in entries} == {
        ("haiku", "cancelled"): (0, 0),
        ("llama-scout", "success"): (0.00034, 500),
    }
