"""The service's own tools on `/chat`."""

import asyncio
import itertools
import re
from typing import Any

import httpx
import pytest

from app.retrieval.knowledge_base import KnowledgeBase
from tests.conftest import Serving
from tests.service import stream_chat, text_of
from tests.upstream import (
    Upstream,
    haiku_calls,
    haiku_says,
    llama_calls,
    llama_says,
    status,
)

QUESTION = "Quanto costa aprire una PT PMA, e quanto capitale serve?"
PRICE = ("toolu_1", "get_service_prices", {"query": "PT PMA"})
SEARCH = ("toolu_2", "search_knowledge_base", {"query": "withholding tax on dividends"})
HAIKU_STEP = 600e-6 + 120 * 5e-6
"""What each scripted answer of Haiku costs at its list price, in dollars."""


async def ask(client: httpx.AsyncClient, **body: Any) -> Any:
    response = await client.post("/chat", json={"message": QUESTION, "tools": True, **body})
    assert response.status_code == 200, response.text
    return response.json()


def results(upstream: Upstream, step: int = 1) -> dict[str, Any]:
    """What the model was told of its calls, by their ids, at the beginning of a step."""
    content = upstream.haiku_calls[step].json["messages"][-1]["content"]
    return {block["tool_use_id"]: block for block in content}


async def test_prices_and_passages_are_looked_up_at_once_and_cited(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(PRICE, SEARCH, text="Guardo."), haiku_says("25 milioni [13]."))
    async with serving() as client:
        answer = await ask(client)
        health = (await client.get("/health")).json()
        counted = (await client.get("/console/state")).json()["turns"]

    assert counted == 1, "its two steps are one turn"
    assert answer["answer"] == "Guardo.\n\n25 milioni [13]."
    assert (answer["ai_used"], answer["fallback_reason"]) == ("haiku", "tool_calling")
    assert answer["finish_reason"] == "stop"
    price, search = answer["tools"]
    assert (price["name"], price["arguments"], price["ok"]) == (PRICE[1], PRICE[2], True)
    assert search["ok"] is True
    assert search["duration_ms"] > 0

    # Both steps are paid for, in the answer and in the ledger.
    assert answer["usage"] == {"input_tokens": 1200, "output_tokens": 240, "estimated": False}
    assert answer["cost_usd"] == pytest.approx(2 * HAIKU_STEP)
    assert health["measured"]["cost_usd"] == pytest.approx(2 * HAIKU_STEP)

    # What was found goes on in the numbers of the passages, under which the model saw it.
    numbers = [source["n"] for source in answer["sources"]]
    assert numbers == list(range(1, len(numbers) + 1))
    priced = answer["sources"][12]
    assert priced["document_id"] == "service-prices"
    assert "25,000,000" in priced["text"]
    assert "EXAMPLE PRICE" in priced["text"]
    first, second = (call.json for call in upstream.haiku_calls)
    assert [tool["name"] for tool in first["tools"]] == [
        "search_knowledge_base", "read_document", "get_service_prices",
    ]  # fmt: skip
    told = results(upstream)["toolu_1"]["content"]
    assert (
        f"[13] service-prices; document service-prices, from character 0\n{priced['text']}" in told
    )
    assert second["messages"][-2]["content"][0] == {"type": "text", "text": "Guardo."}

    # Inside a fence that the system prompt names.
    marker = told.splitlines()[0]
    assert re.fullmatch(r"tool-result-\w{16}", marker)
    assert told.endswith(marker)
    assert marker in second["system"]


async def test_a_stream_shows_each_call_and_the_sources_it_found(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(PRICE), haiku_says("25 milioni ", "[13]."))
    async with serving() as client:
        events = await stream_chat(client, message=QUESTION, tools=["get_service_prices"])

    names = [event.name for event in events]
    # Pieces that came together are one.
    assert [name for name, _ in itertools.groupby(names)] == [
        *("sources", "route", "tool", "sources", "delta", "done")
    ]
    used = events[2].data
    assert (used["name"], used["ok"]) == ("get_service_prices", True)
    assert "25,000,000" in used["result"]
    assert len(events[3].data) == len(events[0].data) + 1
    assert events[-1].data["tools"] == [used]
    assert events[-1].data["cost_usd"] == pytest.approx(2 * HAIKU_STEP)
    assert [tool["name"] for tool in upstream.haiku_calls[0].json["tools"]] == [used["name"]]


async def test_without_tools_llama_answers_as_ever(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(llama_says("Non lo so."))
    async with serving() as client:
        answer = await ask(client, tools=False)

    assert (answer["ai_used"], answer["tools"]) == ("llama-scout", [])
    assert "tools" not in upstream.llama_calls[0].json


async def test_a_document_is_read_in_parts(upstream: Upstream, serving: Serving) -> None:
    first = ("toolu_1", "read_document", {"document_id": "it/pt-pma-setup"})
    upstream.haiku(haiku_calls(first), haiku_says("Ecco."))
    async with serving() as client:
        answer = await ask(client, tools=["read_document"], top_k=1)
        whole = (await client.get("/documents/it/pt-pma-setup?text=true")).json()["text"]

    read = answer["sources"][1]
    assert read["text"] == whole[:6000]
    end = "It goes on at offset 6000." if len(whole) > 6000 else "This is its end."
    assert end in results(upstream)["toolu_1"]["content"]


FAILING: list[tuple[str, Any, str]] = [
    ("search_knowledge_base", {}, "missing required field `query`"),
    ("search_knowledge_base", {"query": "x", "language": "fr"}, "Invalid enum value"),
    ("search_knowledge_base", {"query": "x" * 501}, "length <= 500"),
    ("read_document", {"document_id": "it/niente"}, "no document it/niente"),
    ("read_document", {"document_id": "it/pt-pma-setup", "offset": 10**7}, "characters"),
    ("read_document", {"document_id": "secret"}, "no document secret"),
    ("rm_rf", {}, "no such tool"),
]


async def test_a_tool_that_fails_is_an_error_to_the_model_and_not_to_the_caller(
    upstream: Upstream, serving: Serving
) -> None:
    calls = [(f"toolu_{n}", name, given) for n, (name, given, _) in enumerate(FAILING)]
    upstream.haiku(haiku_calls(*calls), haiku_says("Non lo trovo."))
    async with serving() as client:
        file = {"file": ("secret.md", "# Secret\n\nThe board's own prices.\n")}
        sent = await client.post("/documents", files=file, data={"access": "board"})
        answer = await ask(client)

    assert sent.status_code == 201
    assert answer["answer"] == "Non lo trovo."
    told = results(upstream)
    for n, (name, _, said) in enumerate(FAILING):
        used = answer["tools"][n]
        assert (used["name"], used["ok"]) == (name, False)
        assert said in used["result"]
        block = told[f"toolu_{n}"]
        assert block["is_error"] is True
        assert said in block["content"]


async def test_what_the_caller_left_out_is_out_of_reach_of_the_tools(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(
        haiku_calls(
            ("toolu_1", "read_document", {"document_id": "it/vat-ppn"}),
            ("toolu_2", "search_knowledge_base", {"query": "IVA PPN"}),
            ("toolu_3", "search_knowledge_base", {"query": "VAT", "language": "en"}),
        ),
        haiku_says("Ecco."),
    )
    only = {"document_ids": ["it/pt-pma-capital"], "languages": ["it"]}
    async with serving() as client:
        answer = await ask(client, filters=only)

    assert [used["ok"] for used in answer["tools"]] == [False, True, False]
    assert {source["document_id"] for source in answer["sources"]} == {"it/pt-pma-capital"}


async def test_a_tool_that_takes_too_long_is_given_up(
    upstream: Upstream, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = KnowledgeBase.search

    async def slow(self: KnowledgeBase, question: str, *args: Any, **more: Any) -> Any:
        if question == SEARCH[2]["query"]:
            await asyncio.Event().wait()
        return await real(self, question, *args, **more)

    monkeypatch.setattr("app.chat.tool_loop.TOOL_LIMIT_S", 0.05)
    monkeypatch.setattr(KnowledgeBase, "search", slow)
    upstream.haiku(haiku_calls(SEARCH), haiku_says("Non lo trovo."))
    async with serving() as client:
        answer = await ask(client)

    assert answer["answer"] == "Non lo trovo."
    assert answer["tools"][0]["result"] == "took longer than 0.05 s"


async def test_after_five_steps_the_model_has_to_answer(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(*[haiku_calls(PRICE)] * 4, haiku_says("25 milioni."))
    async with serving() as client:
        answer = await ask(client)

    assert answer["answer"] == "25 milioni."
    assert len(answer["tools"]) == 4
    assert len(answer["sources"]) == 13, "the same row keeps its number"
    choices = [call.json.get("tool_choice") for call in upstream.haiku_calls]
    assert choices == [None, None, None, None, {"type": "none"}]


async def test_a_ninth_call_at_once_is_refused(upstream: Upstream, serving: Serving) -> None:
    calls = [(f"toolu_{n}", *PRICE[1:]) for n in range(9)]
    upstream.haiku(haiku_calls(*calls), haiku_says("25 milioni."))
    async with serving() as client:
        answer = await ask(client)

    assert [used["ok"] for used in answer["tools"]] == [True] * 8 + [False]


async def test_llama_uses_the_tools_when_it_is_alone(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(
        llama_calls(("call_1", "get_service_prices", '{"query": "PT PMA"}')),
        llama_says("25 milioni [13]."),
    )
    async with serving(anthropic_api_key=None) as client:
        answer = await ask(client)

    assert (answer["ai_used"], answer["answer"]) == ("llama-scout", "25 milioni [13].")
    assert answer["tools"][0]["ok"] is True
    assert answer["cost_usd"] == pytest.approx(2 * 0.00034)
    *_, called, returned = upstream.llama_calls[1].json["messages"]
    assert called["tool_calls"][0]["id"] == returned["tool_call_id"] == "call_1"


@pytest.mark.parametrize("stream", [False, True])
async def test_passages_are_quoted_where_a_later_step_gets_no_answer(
    stream: bool, upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(PRICE, text="Guardo."), status(401))
    async with serving() as client:
        if stream:
            events = await stream_chat(client, message=QUESTION, tools=True)
            answer = {**events[-1].data, "answer": text_of(events)}
        else:
            answer = await ask(client)

    assert answer["ai_used"] == "extractive"
    assert answer["answer"].startswith("Guardo.\n\nNessun modello è disponibile")
    assert answer["cost_usd"] == pytest.approx(HAIKU_STEP), "the first step was paid for"


async def test_a_stream_ends_in_an_error_where_nothing_may_be_quoted(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(PRICE, text="Guardo."), status(401))
    async with serving(extractive_fallback=False) as client:
        events = await stream_chat(client, message=QUESTION, tools=True)

    assert events[-1].name == "error"
    assert (events[-1].data["kind"], events[-1].data["answer_so_far"]) == (
        "authentication",
        "Guardo.",
    )


async def test_a_model_that_calls_tools_to_the_last_step_has_not_answered(
    upstream: Upstream, serving: Serving
) -> None:
    calls = llama_calls(("call_1", "get_service_prices", "{}"))
    upstream.llama(*[calls] * 10)
    async with serving(anthropic_api_key=None, extractive_fallback=False) as client:
        events = await stream_chat(client, message=QUESTION, tools=True)
        whole = await client.post("/chat", json={"message": QUESTION, "tools": True})

    assert (events[-1].name, events[-1].data["kind"]) == ("error", "empty")
    assert whole.status_code == 503


async def test_an_unknown_tool_is_refused_by_its_name(serving: Serving) -> None:
    async with serving() as client:
        response = await client.post("/chat", json={"message": "x", "tools": ["rm_rf"]})

    assert response.status_code == 422
    assert "get_service_prices" in response.text
