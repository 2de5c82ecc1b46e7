import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from app.api import frames, giving_way
from app.protocol import BoundedProtocol
from tests.conftest import Serving
from tests.service import SentEvent, sent_events, stream_chat, text_of
from tests.upstream import (
    Upstream,
    Wire,
    haiku_says,
    llama_chunk,
    llama_says,
    llama_usage,
    status,
)

QUESTION = "Quanto capitale serve per una PT PMA?"
ANSWER_KEYS = {
    "answer", "ai_used", "model", "provider", "fallback_reason", "finish_reason", "degraded",
    "sources", "used_rag", "tools", "usage", "cost_usd", "saved_usd", "ttft_ms", "latency_ms",
    "request_id",
}  # fmt: skip


def fenced(content: str) -> tuple[str, dict[int, str], str]:
    """The marker of a prompt's fence, what stands under each number, and what follows."""
    parts = re.fullmatch(r"(passages-\w+)\n(.*)\n\1\n\n(.*)", content, re.DOTALL)
    assert parts
    marker, passages, question = parts.groups()
    extracts = re.split(r"^((?:\[\d+\])+) ", passages, flags=re.MULTILINE)[1:]
    under = {
        int(n): text.strip()
        for numbers, text in zip(extracts[::2], extracts[1::2], strict=True)
        for n in re.findall(r"\d+", numbers)
    }
    return marker, under, question


async def ask(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/chat", json=body)


async def test_a_question_in_italian_gets_an_answer_with_the_models_own_sources(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(
        llama_says("Oltre 10 miliardi ", "di rupie [1].", usage=llama_usage(cost=0.0004))
    )
    async with serving() as client:
        response = await ask(client, message=QUESTION)

    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == ANSWER_KEYS
    assert answer["answer"] == "Oltre 10 miliardi di rupie [1]."
    assert answer["ai_used"] == "llama-scout"
    assert answer["provider"] == "openrouter"
    assert answer["fallback_reason"] is None
    assert answer["degraded"] is False
    assert answer["used_rag"] is True
    assert answer["usage"] == {"input_tokens": 500, "output_tokens": 100, "estimated": False}
    assert answer["cost_usd"] == 0.0004
    assert answer["saved_usd"] == pytest.approx(500e-6 + 100 * 5e-6 - 0.0004)
    assert 0 <= answer["ttft_ms"] <= answer["latency_ms"]
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["sources"][0]["document_id"] == "it/pt-pma-capital"

    # Every source stands in the prompt, under the very number and section of the answer.
    prompt = upstream.llama_calls[0].json["messages"][-1]["content"]
    marker, extracts, question = fenced(prompt)
    assert question == f"Question: {QUESTION}"
    assert sorted(extracts) == [source["n"] for source in answer["sources"]]
    for source in answer["sources"]:
        assert extracts[source["n"]].startswith(source["section"])
        assert source["text"] in extracts[source["n"]]
    assert marker in upstream.llama_calls[0].json["messages"][0]["content"]


async def test_llama_reads_whole_sections_and_haiku_as_much_as_its_budget_holds(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(503))
    upstream.haiku(haiku_says("Oltre 10 miliardi [1]."))
    async with serving(haiku_passage_tokens=500) as client:
        answer = (await ask(client, message=QUESTION)).json()

    _, for_llama, _ = fenced(upstream.llama_calls[0].json["messages"][-1]["content"])
    _, for_haiku, _ = fenced(upstream.haiku_calls[0].json["messages"][-1]["content"])
    best = answer["sources"][0]["text"]
    assert best in for_llama[1]
    assert best in for_haiku[1]
    assert len(for_llama) == len(answer["sources"])
    assert 0 < len(for_haiku) < len(for_llama)
    assert sorted(for_haiku) == list(range(1, len(for_haiku) + 1))
    assert sum(map(len, set(for_llama.values()))) > sum(len(s["text"]) for s in answer["sources"])


async def test_a_stream_tells_sources_route_deltas_and_done_as_they_come(
    upstream: Upstream, serving: Serving
) -> None:
    gate = asyncio.Event()
    text = ["Riga uno\n\n", "– 日本 🦙 \u2028 \r\n", "fine"]
    upstream.llama(llama_says(*text, gate=gate), llama_says(*text))
    names: list[str] = []
    spelled: list[str] = []
    async with serving() as client:
        async with client.stream(
            "POST", "/chat", json={"message": QUESTION, "stream": True}
        ) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for event in sent_events(response):
                names.append(event.name)
                if event.name == "delta":
                    spelled.append(event.data["text"])
                    gate.set()  # the first words were here before the second were sent
                if event.name == "done":
                    done = event.data
        whole = (await ask(client, message=QUESTION)).json()

    # What the model wrote at once may come as one piece.
    assert list(dict.fromkeys(names)) == ["sources", "route", "delta", "done"]
    assert names.count("delta") == len(names) - 3 >= 2
    assert spelled[0] == text[0]
    assert "".join(spelled) == "".join(text)
    assert set(done) == ANSWER_KEYS - {"answer"}
    timed = {"ttft_ms", "latency_ms", "request_id"}
    assert {k: done[k] for k in set(done) - timed} == {k: whole[k] for k in set(done) - timed}
    assert whole["answer"] == "".join(text)


async def test_haiku_answers_whole_when_llama_fails_before_the_first_word(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(503), status(503))
    upstream.haiku(haiku_says("Dieci ", "miliardi [1]."), haiku_says("Dieci ", "miliardi [1]."))
    async with serving() as client:
        whole = (await ask(client, message=QUESTION)).json()
        events = await stream_chat(client, message=QUESTION)

    assert (whole["answer"], whole["ai_used"]) == ("Dieci miliardi [1].", "haiku")
    assert whole["fallback_reason"] == "overloaded"
    assert text_of(events) == "Dieci miliardi [1]."
    assert events[1].data["fallback_reason"] == "overloaded"
    assert events[-1].data["model"] == "claude-haiku-4-5-20251001"


async def half(wire: Wire) -> None:
    await wire.head()
    await wire.event(llama_chunk("Oltre dieci "))
    wire.reset()


async def test_llama_killed_in_mid_answer_still_gives_one_whole_answer(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(half)
    upstream.haiku(haiku_says(" miliardi ", "di rupie [1]."))
    async with serving() as client:
        events = await stream_chat(client, message=QUESTION)

    assert text_of(events) == "Oltre dieci miliardi di rupie [1]."
    assert [event.name for event in events] == [
        "sources", "route", "delta", "route", "delta", "done",
    ]  # fmt: skip
    assert events[3].data["continued"] is True
    assert events[-1].data["ai_used"] == "haiku"


async def test_a_stream_that_nobody_can_finish_ends_in_one_error_with_what_was_said(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(half)
    async with serving(anthropic_api_key=None) as client:
        events = await stream_chat(client, message=QUESTION)

    assert [event.name for event in events] == ["sources", "route", "delta", "error"]
    assert events[-1].data["answer_so_far"] == "Oltre dieci "
    assert events[-1].data["resume"] is None  # nobody is there to go on
    assert events[-1].data["kind"] in {"connection", "protocol"}
    assert events[-1].data["request_id"]


async def test_an_answer_that_broke_off_is_resumed_from_its_last_word(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(half)
    # One that is overloaded for a moment is asked once more, as for an answer from its beginning.
    upstream.haiku(status(529), haiku_says(" miliardi ", "di rupie [1]."))
    async with serving(mid_answer_failure="error") as client:
        events = await stream_chat(client, message=QUESTION)
        field, said = (events[-1].data[name] for name in ("resume", "answer_so_far"))
        rest = await stream_chat(client, message=QUESTION, **{field: said})

    assert said + text_of(rest) == "Oltre dieci miliardi di rupie [1]."
    assert [event.name for event in rest] == ["sources", "route", "delta", "done"]
    assert rest[1].data["continued"] is True
    assert rest[0].data == events[0].data  # the numbers cite the same sources
    asked = upstream.haiku_calls[0].json["messages"]
    assert asked[-1] == {"role": "assistant", "content": "Oltre dieci"}


async def test_what_cannot_be_resumed_is_never_begun_anew(
    upstream: Upstream, serving: Serving
) -> None:
    body = {"message": QUESTION, "stream": True, "continue_from": "Oltre dieci"}
    upstream.haiku(status(400))
    async with serving() as client:
        refused = await stream_chat(client, **body)
    async with serving(anthropic_api_key=None) as client:
        alone = await client.post("/chat", json=body)

    assert [event.name for event in refused] == ["sources", "error"]
    assert (refused[-1].data["answer_so_far"], text_of(refused)) == ("Oltre dieci", "")
    assert (alone.status_code, "No AI configured" in alone.text) == (503, True)
    assert not upstream.llama_calls


@pytest.mark.parametrize("more", [{}, {"stream": True, "tools": True}], ids=["whole", "tools"])
async def test_only_a_stream_without_tools_is_resumed(
    more: dict[str, object], serving: Serving
) -> None:
    async with serving() as client:
        body = {"message": QUESTION, "continue_from": "Oltre", **more}
        response = await client.post("/chat", json=body)

    assert response.status_code == 422
    assert "continue_from needs stream: true, and no tools" in response.text


async def test_without_a_key_the_best_passages_are_quoted_and_cited(serving: Serving) -> None:
    async with serving(openrouter_api_key_llama=None, anthropic_api_key=None) as client:
        answer = (await ask(client, message=QUESTION)).json()
        events = await stream_chat(client, message=QUESTION)

    assert answer["ai_used"] == "extractive"
    assert answer["degraded"] is True
    assert answer["answer"].startswith("Nessun modello è disponibile")
    assert "[1]" in answer["answer"]
    for source in answer["sources"][:3]:
        last_line = source["text"].splitlines()[-1]
        assert f"> {last_line}" in answer["answer"]
        assert f"[{source['n']}]" in answer["answer"]
    assert answer["cost_usd"] == 0
    assert text_of(events) == answer["answer"]
    assert [event.name for event in events] == ["sources", "route", "delta", "done"]


async def test_without_a_key_a_greeting_is_greeted_and_what_is_not_found_is_a_503(
    serving: Serving,
) -> None:
    async with serving(openrouter_api_key_llama=None, anthropic_api_key=None) as client:
        greeting = (await ask(client, message="Ciao! Come stai?")).json()
        nothing = await ask(client, message=QUESTION, filters={"document_ids": ["it/none"]})

    assert "Sono ZANTARA." in greeting["answer"]
    assert greeting["degraded"] is True
    assert nothing.status_code == 503
    assert nothing.json()["detail"] == "No AI configured, and nothing was found to quote"


async def test_without_a_key_and_without_quotes_the_503_says_what_to_set(
    serving: Serving,
) -> None:
    async with serving(
        openrouter_api_key_llama=None, anthropic_api_key=None, extractive_fallback=False
    ) as client:
        for stream in (False, True):
            response = await ask(client, message=QUESTION, stream=stream)

            assert response.status_code == 503
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["setup_required"] == (
                "Set OPENROUTER_API_KEY_LLAMA or ANTHROPIC_API_KEY"
            )


async def test_when_both_models_fail_the_passages_answer_or_a_503_says_when_to_come_back(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(500), status(429, Retry_After="7"))
    upstream.haiku(status(500), status(500), status(529), status(529))
    async with serving() as client:
        answer = (await ask(client, message=QUESTION)).json()
    async with serving(extractive_fallback=False) as client:
        refused = await ask(client, message=QUESTION, stream=True)

    assert (answer["ai_used"], answer["fallback_reason"]) == ("extractive", "server")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "7"
    assert refused.json()["causes"] == {"llama-scout": "rate_limit", "haiku": "overloaded"}


async def test_small_talk_gets_no_passages(upstream: Upstream, serving: Serving) -> None:
    greetings = ["Ciao! Come va?", "thank you so much!", "selamat pagi"]
    upstream.llama(*(llama_says("Ciao!") for _ in greetings))
    async with serving() as client:
        answers = [(await ask(client, message=greeting)).json() for greeting in greetings]

    assert [answer["used_rag"] for answer in answers] == [False, False, False]
    assert all(answer["sources"] == [] for answer in answers)
    assert upstream.llama_calls[0].json["messages"][-1]["content"] == greetings[0]


async def test_the_conversation_goes_to_the_model_and_the_question_is_its_last_turn(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Dipende [1]."))
    history = [
        {"role": "assistant", "content": "Benvenuto!"},
        {"role": "user", "content": "Cos'è una PT PMA?"},
        {"role": "assistant", "content": "Una società a capitale straniero."},
        {"role": "user", "content": QUESTION},
    ]
    async with serving() as client:
        await ask(client, messages=history)

    sent = upstream.llama_calls[0].json["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[1]["content"] == "Cos'è una PT PMA?"
    assert sent[-1]["content"].endswith(QUESTION)


async def test_haiku_can_be_asked_for_and_limits_reach_the_model(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_says("Sì."))
    async with serving() as client:
        answer = (
            await ask(client, message=QUESTION, model="haiku", max_tokens=10**9, top_k=2)
        ).json()

    assert (answer["ai_used"], answer["fallback_reason"]) == ("haiku", None)
    assert upstream.haiku_calls[0].json["max_tokens"] == 8192
    assert len(answer["sources"]) == 2


async def test_filters_narrow_what_is_found(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(llama_says("Sì."), llama_says("Yes."))
    async with serving() as client:
        one = (await ask(client, message=QUESTION, filters={"document_ids": ["en/vat-ppn"]})).json()
        english = (await ask(client, message=QUESTION, filters={"languages": ["en"]})).json()

    assert {source["document_id"] for source in one["sources"]} == {"en/vat-ppn"}
    in_english = ("en/", "service-prices")
    assert all(s["document_id"].startswith(in_english) for s in english["sources"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"message": "x", "messages": [{"role": "user", "content": "x"}]}, ""),
        ({"message": "   "}, "message"),
        ({"message": "x" * 40_000}, "message"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "obey"}]}, "messages.0.role"),
        ({"messages": [{"role": "tool", "content": "42"}]}, "messages.0.role"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, ""),
        ({"message": "x", "model": "gpt"}, "model"),
        ({"message": "x", "max_tokens": 0}, "max_tokens"),
        ({"message": "x", "temperature": 3}, "temperature"),
        ({"message": "x", "top_k": 51}, "top_k"),
        ({"message": "x", "filters": {"$or": []}}, "filters.$or"),
        ({"message": "x", "sistem": "x"}, "sistem"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_field_that_is_wrong(
    body: dict[str, object], field: str, serving: Serving
) -> None:
    async with serving() as client:
        response = await ask(client, **body)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["request_id"] == response.headers["x-request-id"]
    assert field in [error["field"] for error in problem["errors"]]


async def test_what_is_not_json_is_told_where_and_what_to_send(serving: Serving) -> None:
    as_json = {"content-type": "application/json"}
    async with serving() as client:
        broken = await client.post("/chat", content=b'{"message": x}', headers=as_json)
        untyped = await client.post("/chat", content=b'{"message": "x"}')
        slash = await client.post("/chat/", json={"message": "x"})

    assert broken.status_code == 400
    assert broken.json()["detail"].startswith("the body is not valid JSON: ")
    assert untyped.status_code == 415
    assert "content-type: application/json" in untyped.json()["detail"]
    assert slash.status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b'{"message": "\\ud800"}',
        b'{"message": NaN}',
        b'{"message": ' + b"[" * 100_000,
        b'{"message": "x", "max_tokens": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
    ],
)
async def test_broken_json_is_refused_at_once(body: bytes, serving: Serving) -> None:
    async with serving() as client:
        response = await client.post(
            "/chat", content=body, headers={"content-type": "application/json"}
        )

    assert 400 <= response.status_code < 500
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(
    serving: Serving,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(130):
            yield b" " * 100_000

    async with serving() as client:
        declared = await client.post("/chat", content=b" " * 13_000_000)
        chunked = await client.post("/chat", content=endless())

    for response in (declared, chunked):
        assert response.status_code == 413
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_other_refusals_are_problems_too(serving: Serving) -> None:
    async with serving() as client:
        missing = await client.get("/nowhere")
        method = await client.get("/chat")

    assert (missing.status_code, method.status_code) == (404, 405)
    for response in (missing, method):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_who_hangs_up_closes_the_call_upstream(
    stream: bool, upstream: Upstream, serving: Serving
) -> None:
    reached = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.head()
        if stream:
            await wire.event(llama_chunk("Dieci "))
        reached.set()
        await wire.hang()

    upstream.llama(slow)
    async with serving() as client:
        async with httpx.AsyncClient(base_url=client.base_url) as leaving:
            asking = asyncio.create_task(
                leaving.post("/chat", json={"message": QUESTION, "stream": stream})
            )
            await reached.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(2):
            await upstream.llama_calls[0].closed.wait()
        async with asyncio.timeout(2):
            while not (measured := (await client.get("/health")).json()["measured"])["calls"][
                "llama-scout"
            ]:
                await asyncio.sleep(0.01)

    assert measured["llama_failures"] == 0


async def test_a_client_who_asks_ahead_and_hangs_up_closes_the_call_upstream(
    upstream: Upstream, serving: Serving
) -> None:
    reached = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.head()
        reached.set()
        await wire.hang()

    upstream.llama(slow)
    async with serving() as client:
        body = json.dumps({"message": QUESTION, "stream": True})
        host = client.base_url.netloc.decode()
        head = f"POST /chat HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        asked = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(2 * asked)
        async with asyncio.timeout(10):
            await reached.wait()
        writer.close()
        async with asyncio.timeout(2):
            await upstream.llama_calls[0].closed.wait()

    assert len(upstream.llama_calls) == 1


async def test_where_much_is_asked_the_first_words_of_all_come_before_the_last_of_any(
    serving: Serving, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_way, "FEW", 0)
    monkeypatch.setattr(giving_way, "LONGEST_S", 60.0)
    upstream.llama(llama_says("Dieci ", "miliardi."), llama_says("Dieci ", "miliardi."))
    busy = True

    def keep_busy() -> None:
        time.sleep(2 * giving_way.IDLE_S)
        if busy:
            asyncio.get_running_loop().call_soon(keep_busy)

    async with serving() as client, asyncio.timeout(60), AsyncExitStack() as stack:
        keep_busy()
        answers = []
        body = {"message": QUESTION, "stream": True}
        for _ in range(2):
            response = await stack.enter_async_context(client.stream("POST", "/chat", json=body))
            answers.append(sent_events(response))
            names = [(await anext(answers[-1])).name for _ in range(3)]
            assert names == ["sources", "route", "delta"]
        rest = [asyncio.create_task(_names(answer)) for answer in answers]
        await stack.enter_async_context(client.stream("GET", "/health"))
        assert not any(task.done() for task in rest)
        busy = False
        assert [(await task)[-1] for task in rest] == ["done", "done"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat", {"message": QUESTION}),
        (
            "/v1/chat/completions",
            {"model": "zantara", "messages": [{"role": "user", "content": QUESTION}]},
        ),
        (
            "/api/chat",
            {"messages": [{"role": "user", "parts": [{"type": "text", "text": QUESTION}]}]},
        ),
    ],
)
async def test_who_leaves_while_his_answer_gives_way_ends_the_models_call(
    path: str,
    body: dict[str, Any],
    serving: Serving,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(giving_way, "FEW", 0)
    monkeypatch.setattr(giving_way, "LONGEST_S", 60.0)
    monkeypatch.setattr(giving_way, "IDLE_S", 0.0)  # the loop is never idle
    gate = asyncio.Event()
    upstream.llama(llama_says("Dieci ", "miliardi.", gate=gate))
    async with serving() as client, asyncio.timeout(30):
        async with client.stream("POST", path, json={**body, "stream": True}) as response:
            read = ""
            async for read_now in response.aiter_text():
                read += read_now
                if "Dieci" in read:
                    break
        await upstream.llama_calls[0].closed.wait()


async def _names(events: AsyncIterator[SentEvent]) -> list[str]:
    return [event.name async for event in events]


async def test_silences_are_filled_with_comments(
    upstream: Upstream, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert frames.KEEP_ALIVE_S < 15
    monkeypatch.setattr(frames, "KEEP_ALIVE_S", 0.05)
    gate = asyncio.Event()
    upstream.llama(llama_says("Dieci ", "miliardi.", gate=gate))
    comments = 0
    async with (
        serving() as client,
        client.stream("POST", "/chat", json={"message": QUESTION, "stream": True}) as response,
    ):
        lines: list[str] = []
        async for line in response.aiter_lines():
            lines.append(line)
            comments += line == ": keep-alive"
            if comments == 2:
                gate.set()

    assert comments >= 2
    assert json.loads(lines[-2].removeprefix("data: "))["ai_used"] == "llama-scout"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError])
async def test_an_error_of_our_own_is_a_500_that_says_nothing_of_the_inside(
    error: type[Exception], stream: bool, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error("sk-or-v1-planted")

    monkeypatch.setattr("app.chat.service.compose", broken)
    async with serving() as client:
        response = await ask(client, message=QUESTION, stream=stream)

    assert response.status_code == 500
    assert response.json()["request_id"]
    assert "planted" not in response.text
    assert error.__name__ not in response.text


async def test_a_client_who_does_not_read_is_given_up(
    upstream: Upstream, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.frames.SEND_LIMIT_S", 0.2)
    monkeypatch.setattr("app.protocol.UNREAD_LIMIT_S", 0.5)
    lost: list[tuple[str, int] | None] = []
    connection_lost = BoundedProtocol.connection_lost

    def noted(protocol: BoundedProtocol, error: Exception | None) -> None:
        lost.append(protocol.client)
        connection_lost(protocol, error)

    monkeypatch.setattr(BoundedProtocol, "connection_lost", noted)
    # More than the buffers of all sockets hold, and so more than an answer may have.
    monkeypatch.setattr("app.llm.attempt.MOST_CHARACTERS_PER_TOKEN", 10**6)

    async def flood(wire: Wire) -> None:
        await wire.head()
        while not wire.call.closed.is_set():
            await wire.event(llama_chunk("x" * 10_000))

    upstream.llama(flood)
    body = json.dumps({"message": QUESTION, "stream": True}).encode()
    async with serving() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port, limit=1)
        writer.write(
            b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        async with asyncio.timeout(10):
            while not upstream.llama_calls:
                await asyncio.sleep(0.01)
            await upstream.llama_calls[0].closed.wait()
            # It has neither read the rest nor hung up.
            while writer.get_extra_info("sockname") not in lost:
                await asyncio.sleep(0.01)
        assert (await client.get("/health")).status_code == 200
        writer.close()
        del reader


async def test_what_is_over_the_limit_is_refused_at_once_and_health_still_answers(
    upstream: Upstream, serving: Serving
) -> None:
    gate = asyncio.Event()
    upstream.llama(llama_says("Dieci ", "miliardi.", gate=gate))
    async with serving(max_concurrent_requests=1) as client:
        asking = asyncio.create_task(stream_chat(client, message=QUESTION))
        async with asyncio.timeout(10):
            while not upstream.llama_calls:
                await asyncio.sleep(0.01)
        refused = await ask(client, message=QUESTION)
        health = await client.get("/health")
        gate.set()
        events = await asking

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert health.status_code == 200
    assert text_of(events) == "Dieci miliardi."
