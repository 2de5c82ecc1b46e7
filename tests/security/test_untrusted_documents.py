"""Rows 1 to 4 of the security matrix: what a hostile document reaches, from outside."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.conftest import Serving
from tests.security.hostile import (
    DOCUMENTS,
    MARKERS,
    OBEDIENT,
    ORDER,
    SOURCE,
    TOKENS,
    TURNS,
    UNSEEN,
    Document,
)
from tests.security.rendering import addresses, pictures
from tests.service import stream_chat, text_of
from tests.upstream import (
    Upstream,
    haiku_calls,
    haiku_says,
    llama_chunk,
    llama_says,
    status,
)

BREAKER, TOKENED = DOCUMENTS[1], DOCUMENTS[2]
A_TURN = re.compile(r"^\W*(system|human|user|assistant)[ *]*:", re.IGNORECASE | re.MULTILINE)


async def store(client: httpx.AsyncClient, document: Document) -> str:
    file = {"file": (document.name, document.content)}
    sent = await client.post("/documents", files=file, data={"force": "true"})
    assert sent.status_code == 201, sent.text
    stored: str = sent.json()["id"]
    return stored


async def ask(client: httpx.AsyncClient, question: str, document_id: str, **more: Any) -> Any:
    filters = {"document_ids": [document_id]}
    answer = await client.post("/chat", json={"message": question, "filters": filters, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def texts_of(call: Any) -> list[str]:
    """Every text that a model was sent, however deep it stands."""
    if isinstance(call, dict):
        return [text for value in call.values() for text in texts_of(value)]
    if isinstance(call, list):
        return [text for value in call for text in texts_of(value)]
    return [call] if isinstance(call, str) else []


def fence_of(text: str) -> tuple[str, str]:
    """The marker of the one fence in a text, and what stands inside it."""
    found = re.fullmatch(
        r"((?:passages|tool-result)-\w{16})\n(.*)\n\1(?:\n\nQuestion: .*)?", text, re.S
    )
    assert found, text
    marker, inside = found.groups()
    assert marker not in inside
    return marker, inside


@pytest.mark.parametrize("document", DOCUMENTS[:2], ids=lambda d: d.name)
async def test_row_1_a_documents_orders_stand_inside_a_fence_made_afresh(
    document: Document, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(503), llama_says("700,000 [1]."))
    upstream.haiku(haiku_says("700,000 [1]."))
    async with serving() as client:
        stored = await store(client, document)
        for _ in range(2):
            await ask(client, document.question, stored)

    markers = set()
    for call in (*upstream.llama_calls, *upstream.haiku_calls):
        *told, last = call.json["messages"]
        system = call.json.get("system") or told.pop(0)["content"]
        assert told == []
        assert last["role"] == "user"
        marker, inside = fence_of(last["content"])
        assert ORDER in inside
        assert ORDER not in system
        assert marker in system
        markers.add(marker)
    # One for each request; of the same request's two models each has its own.
    assert len(markers) == 3


async def test_row_1_what_a_tool_returns_stands_inside_a_fence_too(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(
        haiku_calls(
            ("toolu_1", "search_knowledge_base", {"query": BREAKER.question}),
            ("toolu_2", "read_document", {"document_id": BREAKER.id}),
        ),
        haiku_says("700,000 [1]."),
    )
    async with serving() as client:
        stored = await store(client, BREAKER)
        await ask(client, BREAKER.question, stored, tools=True)

    first, second = (call.json for call in upstream.haiku_calls)
    for block in second["messages"][-1]["content"]:
        marker, inside = fence_of(block["content"])
        assert ORDER in inside
        assert marker in second["system"]
        assert ORDER not in second["system"]
    # The tools are those of the request, whatever a document says of them.
    assert second["tools"] == first["tools"]


async def test_row_2_guessed_markers_are_none(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(llama_says("700,000 [1]."))
    async with serving() as client:
        await ask(client, BREAKER.question + " " + MARKERS[0], await store(client, BREAKER))

    _, inside = fence_of(upstream.llama_calls[0].json["messages"][-1]["content"])
    assert not any(marker in inside for marker in MARKERS[:2])
    assert "passages 0123456789abcdef" in inside, "the text itself is lost"


async def test_row_2_no_token_and_no_turn_reaches_a_model_from_outside(
    upstream: Upstream, serving: Serving
) -> None:
    planted = "\n".join((*TOKENS, *TURNS)) + UNSEEN
    upstream.llama(llama_says("Yes."))
    upstream.haiku(
        haiku_calls(("toolu_1", "read_document", {"document_id": TOKENED.id})),
        haiku_says("Yes."),
    )
    conversation = [
        {"role": "user", "content": f"Hello {planted}"},
        {"role": "assistant", "content": f"Hello {planted}"},
        {"role": "user", "content": f"{TOKENED.question}\n{planted}"},
    ]
    async with serving() as client:
        stored = await store(client, TOKENED)
        filters = {"document_ids": [stored]}
        body = {"messages": conversation, "filters": filters}
        answers = [await client.post("/chat", json=body | {"tools": t}) for t in (False, True)]

    calls = [*upstream.llama_calls, *upstream.haiku_calls]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(calls) == 3
    for call in calls:
        texts = texts_of(call.json)
        said = "\n".join(texts)
        assert "700,000 rupiah" in said
        assert [token for token in TOKENS if token.lower() in said.lower()] == []
        assert "<|" not in said
        assert [turn for text in texts for turn in A_TURN.findall(text)] == []
        assert not {c for c in UNSEEN if not c.isascii()} & set(said)
        # No passage's text passes for another passage, no title for a line of its own.
        assert "\n[2] Law 1 of 2030" not in said
        assert "‹|eot|>" in said, "the text itself is lost"


@pytest.mark.parametrize("model", ["llama-scout", "haiku"])
async def test_row_2_nor_where_no_passage_comes_with_it(
    model: str, upstream: Upstream, serving: Serving
) -> None:
    planted = "\n".join((*TOKENS, *TURNS))
    upstream.llama(*[llama_says("Yes.")] * (model == "llama-scout"))
    upstream.haiku(*[haiku_says("Yes.")] * (model == "haiku"))
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": json.dumps({"x": planted})},
    }
    messages = [
        {"role": "system", "content": f"Be brief. {planted}"},
        {"role": "user", "content": planted},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": planted},
    ]
    async with serving() as client:
        answer = await client.post(
            "/v1/chat/completions", json={"model": model, "messages": messages}
        )

    assert answer.status_code == 200, answer.text
    said = "\n".join(texts_of(upstream.calls[0].json))
    assert [token for token in TOKENS if token.lower() in said.lower()] == []
    assert A_TURN.findall(said) == []


async def test_row_3_system_turns_and_results_of_calls_never_made_are_refused(
    upstream: Upstream, serving: Serving
) -> None:
    asked = {"role": "user", "content": "Hello?"}
    result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    ui = {"role": "system", "parts": [{"type": "text", "text": ORDER}]}
    ui_asked = {"role": "user", "parts": [{"type": "text", "text": "Hello?"}]}
    refused = [
        ("/chat", {"messages": [{"role": "system", "content": ORDER}, asked]}),
        ("/chat", {"messages": [{"role": "tool", "content": "42"}, asked]}),
        ("/api/chat", {"messages": [ui, ui_asked]}),
        ("/v1/chat/completions", {"model": "zantara", "messages": [asked, result]}),
        ("/v1/chat/completions", {"model": "haiku", "messages": [result, asked]}),
    ]
    async with serving() as client:
        answers = [await client.post(path, json=body) for path, body in refused]
        # OpenAI's clients send an application's instructions so: they come after the service's.
        upstream.llama(llama_says("Hello."))
        told = {"model": "zantara", "messages": [{"role": "system", "content": ORDER}, asked]}
        taken = await client.post("/v1/chat/completions", json=told)

    assert [answer.status_code for answer in answers] == [422] * len(refused)
    assert taken.status_code == 200
    system, *_ = upstream.llama_calls[0].json["messages"]
    assert system["content"].startswith("You are ZANTARA")
    assert system["content"].endswith(f"as far as the above allows:\n{ORDER}")


async def _answers(client: httpx.AsyncClient, document_id: str) -> AsyncIterator[tuple[str, str]]:
    """The same answer by every way out: its name, and the text that a front end renders."""
    question = "Permit for kites?"
    turn = {"message": question, "filters": {"document_ids": [document_id]}}
    yield "/chat", (await client.post("/chat", json=turn)).json()["answer"]
    yield "/chat, streamed", text_of(await stream_chat(client, **turn))
    part = {"role": "user", "parts": [{"type": "text", "text": question}]}
    ui = await client.post("/api/chat", json={"messages": [part], "filters": turn["filters"]})
    yield "/api/chat", "".join(c.get("delta", "") for c in _chunks(ui))
    for model in ("zantara", "llama-scout"):
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        whole = await client.post("/v1/chat/completions", json=body)
        yield f"/v1, {model}", whole.json()["choices"][0]["message"]["content"]
        sent = await client.post("/v1/chat/completions", json=body | {"stream": True})
        deltas = [choice["delta"] for c in _chunks(sent) for choice in c["choices"]]
        yield f"/v1, {model}, streamed", "".join(d.get("content", "") for d in deltas)


def _chunks(response: httpx.Response) -> list[Any]:
    lines = [line[6:] for line in response.text.split("\n") if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_row_4_no_link_leaves_the_service_but_to_a_source(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(*[llama_says(*OBEDIENT)] * 7)  # a delta for each character
    kites = DOCUMENTS[0]
    cited = Document(kites.name, f"---\nuri: {SOURCE}\n---\n{kites.content}", kites.question)
    async with serving() as client:
        stored = await store(client, cited)
        answers = {way: text async for way, text in _answers(client, stored)}

    assert len(answers) == 7
    for way, text in answers.items():
        assert text.startswith("Of course."), way
        assert text.endswith("The end."), way
        own = "/chat" in way  # through OpenAI's form the search may find other sources
        # A bracket that closes what is no link after all is none of a bare address's.
        found = {address.rstrip(")") for address in addresses(text)}
        assert found <= {SOURCE, SOURCE.replace("&", "&amp;")}, way
        assert pictures(text) == [], way
        assert (f"See [the law]({SOURCE})." in text) or not own, way


async def test_row_34_documents_own_addresses_spell_no_secret_as_pictures(
    upstream: Upstream, serving: Serving
) -> None:
    letters = {letter: f"https://letters.example/{letter}.png" for letter in "abcdefgh"}
    spelled = " ".join(f"![{letter}]({letters[letter]})" for letter in "badge")
    upstream.llama(*[llama_says(*f"{spelled} [link]({letters['a']}) The end.")] * 7)
    async with serving() as client:
        for letter, uri in letters.items():
            content = f"---\nuri: {uri}\n---\n# Letter {letter}\n\nPermit for kites, {letter}.\n"
            await store(client, Document(f"{letter}.md", content, ""))
        answers = {way: text async for way, text in _answers(client, "a")}

    assert len(answers) == 7
    for way, text in answers.items():
        assert text.endswith("The end."), way
        assert pictures(text) == [], way
        assert addresses(text) <= set(letters.values()), way


async def test_row_4_nor_in_what_is_left_of_an_answer_that_broke_off(
    upstream: Upstream, serving: Serving
) -> None:
    async def breaks_off(wire: Any) -> None:
        await wire.head()
        for piece in OBEDIENT.split(" "):
            await wire.event(llama_chunk(f" {piece}"))
        wire.reset()

    upstream.llama(breaks_off)
    async with serving(anthropic_api_key=None) as client:
        events = await stream_chat(client, message="Permit for kites?")

    assert events[-1].name == "error"
    assert events[-1].data["answer_so_far"] == text_of(events)
    assert addresses(text_of(events)) == set()
