import asyncio
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from app.errors import AnswerUnavailable, FailureKind, ProviderError
from app.events import Failed, Finished, FinishReason, Message, RouteChosen, TextDelta
from app.llm.circuit_gate import MIN_FAILURES, CircuitState
from app.llm.provider import KeyState, Prompt
from app.llm.tools import Tool, Toolbox
from tests.llm.conftest import OpenRouter
from tests.upstream import (
    Upstream,
    Wire,
    haiku_events,
    haiku_says,
    hang,
    llama_chunk,
    llama_says,
    llama_usage,
    status,
)

QUESTION = [Message("user", "Quanto capitale serve per una PT PMA?")]
WEATHER = Tool("weather", "The weather in a city", {"type": "object", "properties": {}})


async def test_llama_answers_first_and_its_bill_is_taken_at_its_word(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(llama_says("Dieci ", "miliardi.", usage=llama_usage(1000, 2000, cost=0.0005)))
    async with open_router() as client:
        with capture_logs() as logs:
            result = await client.chat_async(QUESTION, system="Be brief.")

    assert result.text == "Dieci miliardi."
    assert (result.ai_used, result.provider) == ("llama-scout", "openrouter")
    assert result.model == "meta-llama/llama-4-scout"
    assert result.fallback_reason is None
    assert result.cost_usd == 0.0005
    # 1,000 in at $1 and 2,000 out at $5 per million on Haiku, less what was paid.
    assert result.saved_usd == pytest.approx(0.011 - 0.0005)
    assert [entry["event"] for entry in logs] == [
        "🎯 [Llama Scout] Using PRIMARY AI",
        "✅ [Llama Scout] Success! Cost: $0.00050 (saved $0.01050 vs Haiku)",
    ]
    assert client.metrics == {
        "llama_success": 1,
        "llama_failures": 0,
        "haiku_fallbacks": 0,
        "total_cost_saved": pytest.approx(0.0105),
    }


async def test_what_openrouter_is_sent(upstream: Upstream, open_router: OpenRouter) -> None:
    upstream.llama(llama_says("Yes."))
    async with open_router() as client:
        await client.chat_async(QUESTION, system="Be brief.", max_tokens=77, temperature=0.3)

    (call,) = upstream.llama_calls
    assert call.headers["authorization"] == "Bearer sk-or-v1-planted-0123456789"
    assert call.headers["x-title"] == "ZANTARA"
    assert "http-referer" in call.headers
    assert call.json["model"] == "meta-llama/llama-4-scout"
    assert call.json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION[0].content},
    ]
    assert (call.json["max_tokens"], call.json["temperature"]) == (77, 0.3)


async def test_haiku_answers_when_llama_fails_and_the_logs_are_the_guides(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(status(500, {"error": {"code": 500, "message": "boom"}}))
    upstream.haiku(haiku_says("Dieci ", "miliardi."))
    async with open_router() as client:
        with capture_logs() as logs:
            result = await client.chat_async(QUESTION, system="Be brief.", temperature=0.3)

    assert result.text == "Dieci miliardi."
    assert (result.ai_used, result.provider) == ("haiku", "anthropic")
    assert result.fallback_reason == "server"
    assert result.usage.input_tokens == 600
    assert result.usage.output_tokens == 120
    assert result.cost_usd == pytest.approx(600e-6 + 120 * 5e-6)
    assert result.saved_usd == 0
    assert [entry["event"] for entry in logs] == [
        "🎯 [Llama Scout] Using PRIMARY AI",
        "⚠️  [Llama Scout] Failed: API error",
        "   Falling back to Haiku 4.5...",
        "✅ [Haiku] Response completed",
    ]
    assert client.metrics["llama_failures"] == client.metrics["haiku_fallbacks"] == 1
    (call,) = upstream.haiku_calls
    assert call.json["system"] == "Be brief."
    assert "temperature" not in call.json
    assert call.headers["authorization"] == "Bearer sk-ant-planted-0123456789"


async def test_a_silent_llama_is_left_at_the_first_content_limit(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def keep_alives_for_ever(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk(""))
        while not wire.call.closed.is_set():
            await wire.chunk(b": OPENROUTER PROCESSING\n\n")
            await asyncio.sleep(0.01)

    for step in (hang, keep_alives_for_ever):
        upstream.llama(step)
        upstream.haiku(haiku_says("Eccomi."))
        async with open_router(first_content_timeout_s=0.8) as client:
            with capture_logs() as logs:
                result = await client.chat_async(QUESTION)

        assert result.text == "Eccomi."
        assert result.fallback_reason == "timeout_first_content"
        assert "⚠️  [Llama Scout] Failed: API timeout" in [entry["event"] for entry in logs]


async def half(wire: Wire) -> None:
    """Two words, then a reset."""
    await wire.head()
    await wire.event(llama_chunk("Oltre dieci "))
    wire.reset()


@pytest.mark.parametrize(
    ("said", "goes_on", "whole"),
    [
        ("Oltre dieci ", [" miliardi", " di rupie."], "Oltre dieci miliardi di rupie."),
        ("Oltre dieci ", [" ", "miliardi."], "Oltre dieci miliardi."),
        ("Oltre dieci ", ["\n\n", "Ecco."], "Oltre dieci \n\nEcco."),
        ("Oltre die", ["ci miliardi."], "Oltre dieci miliardi."),
        ("Oltre dieci", [" miliardi."], "Oltre dieci miliardi."),
        ("1. Uno\n", ["\n2. Due"], "1. Uno\n2. Due"),
        ("1. Uno\n", ["\n", "\n2. Due"], "1. Uno\n\n2. Due"),
        # It begins as the answer did, but for a few words only.
        (
            "Il capitale è basso. ",
            [" Il", " capitale", " sale."],
            "Il capitale è basso. Il capitale sale.",
        ),
    ],
)
async def test_haiku_goes_on_from_the_word_at_which_llama_broke_off(
    said: str,
    goes_on: list[str],
    whole: str,
    upstream: Upstream,
    open_router: OpenRouter,
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk(said))
        wire.reset()

    upstream.llama(breaks_off)
    upstream.haiku(haiku_says(*goes_on))
    async with open_router() as client:
        events = [event async for event in client.stream(QUESTION)]

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == whole
    routes = [event for event in events if isinstance(event, RouteChosen)]
    assert [(route.ai_used, route.continued) for route in routes] == [
        ("llama-scout", False),
        ("haiku", True),
    ]
    assert isinstance(events[-1], Finished)
    sent = upstream.haiku_calls[0].json["messages"]
    assert sent[-1] == {"role": "assistant", "content": said.rstrip()}
    # What was said already is taken off what may still be said: four characters a token.
    assert upstream.haiku_calls[0].json["max_tokens"] == 2048 - len(said) // 4


@pytest.mark.parametrize(
    ("said", "goes_on"),
    [("#", "# Titolo"), ("-", "-- voce"), ("1000000", "000000 di rupie"), ("*", "*Nota** bene")],
)
async def test_marks_and_figures_that_were_said_last_may_come_once_more(
    said: str, goes_on: str, upstream: Upstream, open_router: OpenRouter
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk(said))
        wire.reset()

    upstream.llama(breaks_off)
    upstream.haiku(haiku_says(goes_on))
    async with open_router() as client:
        events = [event async for event in client.stream(QUESTION)]

    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert ("".join(texts), type(events[-1])) == (said + goes_on, Finished)


async def test_a_long_answer_is_gone_on_with_for_as_long_as_it_may_be(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    said = "ketenagakerjaan " * 600  # some 2,000 tokens, of five characters each

    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk(said))
        wire.reset()

    upstream.llama(breaks_off)
    upstream.haiku(haiku_says(" Fine."))
    async with open_router() as client:
        events = [event async for event in client.stream(QUESTION)]

    assert isinstance(events[-1], Finished)
    assert upstream.haiku_calls[0].json["max_tokens"] == 512


async def test_a_continuation_that_fails_before_its_first_word_is_tried_once_more(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(half)
    upstream.haiku(status(529), haiku_says(" miliardi."))
    async with open_router(first_content_timeout_s=30) as client:
        events = [event async for event in client.stream(QUESTION)]

    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert ("".join(texts), type(events[-1])) == ("Oltre dieci miliardi.", Finished)
    assert len(upstream.haiku_calls) == 2


@pytest.mark.parametrize(
    ("said", "goes_on"),
    [
        pytest.param("Il capitale è due vir", [], id="nothing"),
        pytest.param("Il capitale è due vir", ["  \n"], id="white space"),
        pytest.param("Costa 10 ", ["0 milioni."], id="another number"),
        pytest.param("Il capitale è due vir", ["Il capitale è due virgola cinque."], id="anew"),
        pytest.param("Costa 10 ", [" Cos", "ta", " 10 milioni."], id="anew in pieces"),
        pytest.param("Il capitale è due vir", [" Il capitale"], id="anew and cut off"),
        pytest.param("parola " * 9, [" parola" * 9], id="anew, of something long"),
        pytest.param("Il capitale è due vir", ["il  capitale\nè due virgola"], id="in small"),
        pytest.param("Il capitale è due vir", ["**Il capitale** è due virgola"], id="in Markdown"),
        pytest.param("Il capitale è due", ["# Risposta\n\nIl ", "capitale è due"], id="headed"),
        pytest.param("Il capitale è due", ["Certo! Ecco: il capitale è due"], id="led in"),
        pytest.param("Il capitale minimo, di cui", ["di cui 2,5 versati."], id="last words again"),
    ],
)
async def test_no_answer_is_two_glued_together_and_none_is_half_of_one(
    said: str, goes_on: list[str], upstream: Upstream, open_router: OpenRouter
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk(said))
        wire.reset()

    upstream.llama(breaks_off)
    upstream.haiku(haiku_says(*goes_on))
    async with open_router() as client:
        events = [event async for event in client.stream(QUESTION)]
        assert client.haiku is not None
        assert client.haiku.circuit.state == "closed"

    assert [type(event) for event in events] == [RouteChosen, TextDelta, Failed]
    assert isinstance(events[-1], Failed)
    assert (events[-1].kind, events[-1].partial_text) == (FailureKind.CONTINUATION_MISMATCH, said)
    assert client.ledger.outcomes["haiku", "seam"] == 1
    assert client.ledger.cost_usd > 0


async def test_an_answer_that_nobody_can_go_on_with_ends_in_one_failure(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    prefill_refused = status(400, {"type": "error", "error": {"type": "invalid_request_error"}})
    upstream.llama(half, half, half)
    upstream.haiku(prefill_refused)
    for settings in ({}, {"anthropic_api_key": None}, {"mid_answer_failure": "error"}):
        async with open_router(**settings) as client:
            events = [event async for event in client.stream(QUESTION)]

        assert [type(event) for event in events] == [RouteChosen, TextDelta, Failed]
        assert isinstance(events[-1], Failed)
        assert events[-1].partial_text == "Oltre dieci "
        assert client.ledger.unanswered == 1


async def test_a_whole_answer_starts_over_on_haiku_at_any_moment(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(half)
    upstream.haiku(haiku_says("Due e mezzo."))
    async with open_router() as client:
        result = await client.chat_async(QUESTION)

    assert result.text == "Due e mezzo."
    assert result.fallback_reason == "protocol"


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([llama_chunk(None, "stop"), "[DONE]"], id="nothing"),
        pytest.param([llama_chunk(" \n"), llama_chunk(finish="stop"), "[DONE]"], id="white space"),
        pytest.param([{"choices": []}, "[DONE]"], id="no choices"),
        pytest.param(["[DONE]"], id="done at once"),
        pytest.param([{"error": {"code": 503, "message": "down"}}], id="error in a 200"),
        pytest.param(["{not json"], id="not JSON"),
        pytest.param([{"choices": "what"}], id="another shape"),
    ],
)
async def test_an_answer_without_content_is_no_answer(
    upstream: Upstream, open_router: OpenRouter, chunks: list[object]
) -> None:
    async def step(wire: Wire) -> None:
        await wire.head()
        for chunk in chunks:
            await wire.event(chunk)
        await wire.end()

    upstream.llama(step)
    upstream.haiku(haiku_says("Eccomi."))
    async with open_router() as client:
        result = await client.chat_async(QUESTION)

    assert result.ai_used == "haiku"
    assert client.metrics["llama_failures"] == 1


async def test_a_refused_prompt_is_not_shopped_around(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(llama_says("", finish="content_filter"))
    async with open_router() as client:
        with pytest.raises(ProviderError) as caught:
            await client.chat_async(QUESTION)

    assert caught.value.kind is FailureKind.CONTENT_FILTER
    assert not upstream.haiku_calls


async def test_each_side_works_alone(upstream: Upstream, open_router: OpenRouter) -> None:
    upstream.llama(llama_says("Llama."), llama_says("Llama again."))
    async with open_router(anthropic_api_key=None) as client:
        assert client.is_available()
        assert (await client.chat_async(QUESTION)).text == "Llama."
        asked_for_haiku = await client.chat_async(QUESTION, model="haiku")
        assert asked_for_haiku.fallback_reason == "haiku_not_configured"

    upstream.haiku(haiku_says("Haiku."))
    async with open_router(openrouter_api_key_llama=None) as client:
        assert client.is_available()
        result = await client.chat_async(QUESTION)
        assert (result.text, result.fallback_reason) == ("Haiku.", "llama_not_configured")

    async with open_router(openrouter_api_key_llama=None, anthropic_api_key=None) as client:
        assert not client.is_available()
        with pytest.raises(AnswerUnavailable):
            await client.chat_async(QUESTION)


async def test_haiku_can_be_forced_for_all_or_asked_for_once(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.haiku(haiku_says("One."), haiku_says("Two."))
    async with open_router(force_haiku=True) as client:
        forced = await client.chat_async(QUESTION)
    async with open_router() as client:
        asked_for = await client.chat_async(QUESTION, model="haiku")

    assert (forced.text, forced.fallback_reason) == ("One.", "force_haiku")
    assert (asked_for.text, asked_for.fallback_reason) == ("Two.", None)
    assert not upstream.llama_calls


async def test_tool_calling_goes_to_haiku_and_the_call_comes_back(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def calls_a_tool(wire: Wire) -> None:
        await wire.head()
        block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
        for event in (
            {
                "type": "message_start",
                "message": {"model": "claude-haiku-4-5", "usage": {"input_tokens": 9}},
            },
            {"type": "content_block_start", "index": 0, "content_block": block},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '{"city": '},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '"Ubud"}'},
            },
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}},
            {"type": "message_stop"},
        ):
            await wire.event(event, name=str(event["type"]))
        await wire.end()

    upstream.haiku(calls_a_tool)
    async with open_router() as client:
        result = await client.chat_async(QUESTION, toolbox=Toolbox([WEATHER]))

    assert result.fallback_reason == "tool_calling"
    assert result.finish_reason is FinishReason.TOOL_CALLS
    (call,) = result.tool_calls
    assert (call.name, call.arguments) == ("weather", {"city": "Ubud"})
    assert upstream.haiku_calls[0].json["tools"][0]["name"] == "weather"


async def test_llama_takes_tools_when_it_is_alone(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    def delta(**function: str) -> object:
        calls = [{"index": 0, "id": "call_1", "function": function}]
        return {"choices": [{"delta": {"tool_calls": calls}}]}

    async def calls_a_tool(wire: Wire) -> None:
        await wire.head()
        await wire.event(delta(name="weather", arguments='{"ci'))
        await wire.event(delta(arguments='ty": "Ubud"}'))
        await wire.event(llama_chunk(finish="tool_calls"))
        await wire.end()

    upstream.llama(calls_a_tool)
    async with open_router(anthropic_api_key=None) as client:
        result = await client.chat_async(QUESTION, toolbox=Toolbox([WEATHER]))

    assert [(c.name, c.arguments) for c in result.tool_calls] == [("weather", {"city": "Ubud"})]
    assert upstream.llama_calls[0].json["tools"][0]["function"]["name"] == "weather"


async def test_usage_that_is_missing_is_estimated_and_says_so(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def without_usage(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("x" * 400, "stop"))
        await wire.end()

    upstream.llama(without_usage)
    async with open_router() as client:
        result = await client.chat_async(QUESTION)

    assert result.usage.estimated
    assert result.usage.output_tokens == 100


async def test_a_caller_who_leaves_closes_the_call_upstream(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def for_ever(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Dieci "))
        await wire.hang()

    upstream.llama(for_ever)
    async with open_router() as client:
        async with aclosing(client.stream(QUESTION)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        async with asyncio.timeout(2):
            await upstream.llama_calls[0].closed.wait()

    assert client.ledger.outcomes == {("llama-scout", "cancelled"): 1}
    assert client.metrics["llama_failures"] == 0


async def test_a_rejected_key_is_found_out_without_paying_and_haiku_answers_at_once(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.openrouter_key = status(401, {"error": {"code": 401, "message": "No auth"}})
    upstream.haiku(haiku_says("Eccomi."))
    async with open_router() as client:
        assert client.llama is not None
        async with asyncio.timeout(5):
            while client.llama.circuit.key_state is not KeyState.REJECTED:
                await asyncio.sleep(0.005)
        result = await client.chat_async(QUESTION)

    assert (result.text, result.fallback_reason) == ("Eccomi.", "circuit_open")
    assert not upstream.llama_calls


async def test_a_key_described_in_json_without_a_bottom_is_a_key_of_which_nothing_is_known(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def nested(wire: Wire) -> None:
        await wire.head(content_type="application/json")
        await wire.chunk(b'{"data": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")
        await wire.end()

    upstream.openrouter_key = upstream.anthropic_key = nested
    async with open_router() as client:
        for side in (client.llama, client.haiku):
            assert side is not None
            assert await side.provider.check_key() is KeyState.UNKNOWN


async def test_of_a_key_that_nobody_describes_nothing_is_known(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def hangs_up(wire: Wire) -> None:
        wire.reset()

    upstream.openrouter_key = upstream.anthropic_key = hangs_up
    async with open_router() as client:
        for side in (client.llama, client.haiku):
            assert side is not None
            assert await side.provider.check_key() is KeyState.UNKNOWN


async def test_a_fault_of_our_own_is_not_booked_as_a_caller_who_left(
    upstream: Upstream, open_router: OpenRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_a_bug(*_: object) -> bytes:
        raise KeyError("a bug")

    monkeypatch.setattr("app.llm.openrouter.request_body", has_a_bug)
    async with open_router() as client:
        with pytest.raises(KeyError):
            await client.chat_async(QUESTION)

    assert client.ledger.outcomes == {("llama-scout", "crashed"): 1}
    assert not upstream.calls


async def test_the_stream_tells_route_text_and_end_in_order(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    gate = asyncio.Event()
    upstream.llama(llama_says("Dieci ", "miliardi.", gate=gate))
    seen: list[type] = []
    async with open_router() as client:
        async for event in client.stream(QUESTION):
            seen.append(type(event))
            if isinstance(event, TextDelta):
                gate.set()  # the first piece arrived before the second was sent

    assert seen == [RouteChosen, TextDelta, TextDelta, Finished]


async def test_the_last_model_is_asked_once_more_where_the_fault_may_pass(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    overloaded = status(529, {"type": "error", "error": {"type": "overloaded_error"}})
    upstream.llama(status(500), status(500), status(502))
    upstream.haiku(overloaded, haiku_says("Eccomi."), overloaded, overloaded)
    async with open_router() as client:
        assert (await client.chat_async(QUESTION)).text == "Eccomi."
        with pytest.raises(AnswerUnavailable):
            await client.chat_async(QUESTION)
    upstream.llama(llama_says("Llama."))
    async with open_router(anthropic_api_key=None) as client:
        assert (await client.chat_async(QUESTION)).text == "Llama."


async def test_no_retry_where_the_fault_does_not_pass_or_not_in_time(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    spent = {"type": "invalid_request_error", "message": "You have reached your usage limits"}
    for step in (status(400, {"type": "error", "error": spent}), status(529, Retry_After="90")):
        upstream.llama(status(500))
        upstream.haiku(step)
        async with open_router() as client:
            with pytest.raises(AnswerUnavailable):
                await client.chat_async(QUESTION)


async def test_a_request_that_neither_model_understands_is_the_callers(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(status(400, {"error": {"code": 400, "message": "bad"}}))
    upstream.haiku(status(400, {"error": {"type": "invalid_request_error", "message": "bad"}}))
    async with open_router() as client:
        with pytest.raises(ProviderError) as caught:
            await client.chat_async(QUESTION)

    assert caught.value.kind is FailureKind.BAD_REQUEST


async def test_a_request_that_only_one_model_refused_is_not_the_callers_fault(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(status(500))
    upstream.haiku(status(400, {"error": {"type": "invalid_request_error", "message": "bad"}}))
    async with open_router() as client:
        with pytest.raises(AnswerUnavailable):
            await client.chat_async(QUESTION)


async def test_what_llama_cannot_hold_goes_to_haiku_and_what_neither_holds_is_not_paid_for(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.haiku(haiku_says("Eccomi."))
    async with open_router(llama_context_tokens=4096, haiku_context_tokens=20_000) as client:
        result = await client.chat_async([Message("user", "x" * 4 * 5000)])
        assert result.fallback_reason == "context_length"

        with pytest.raises(ProviderError) as caught:
            await client.chat_async([Message("user", "x" * 4 * 18_952)], max_tokens=2048)

    assert caught.value.kind is FailureKind.CONTEXT_LENGTH
    assert "about 1000 tokens over the window of haiku" in caught.value.detail
    assert len(upstream.calls) == 1


async def test_a_hedge_answers_beside_a_late_llama_and_both_are_costed(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def speaks_on_once_llama_is_let_go(wire: Wire) -> None:
        await wire.head()
        for event in haiku_events(["Eccomi."]):
            await wire.event(event)
            if event["type"] == "content_block_delta":
                await upstream.llama_calls[0].closed.wait()
        await wire.end()

    upstream.llama(hang)
    upstream.haiku(speaks_on_once_llama_is_let_go)
    async with open_router(hedge_after_ms=30) as client:
        result = await client.chat_async(QUESTION)

    assert (result.text, result.fallback_reason) == ("Eccomi.", "hedged")
    assert client.ledger.outcomes == {("llama-scout", "cancelled"): 1, ("haiku", "success"): 1}
    assert client.ledger.cost_usd > (result.cost_usd or 0)
    assert client.ledger.fallback_kinds == {"hedged": 1}


async def test_a_llama_that_always_loses_to_its_hedge_has_its_circuit_open(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(*[hang] * MIN_FAILURES)
    upstream.haiku(*[haiku_says("Eccomi.")] * (MIN_FAILURES + 1))
    async with open_router(hedge_after_ms=20, first_content_timeout_s=60) as client:
        for _ in range(MIN_FAILURES + 1):
            result = await client.chat_async(QUESTION)

        assert client.llama is not None
        assert client.llama.circuit.state is CircuitState.OPEN
    assert (result.text, result.fallback_reason) == ("Eccomi.", "circuit_open")
    assert len(upstream.llama_calls) == MIN_FAILURES


async def test_a_whole_answer_that_a_hedge_breaks_off_starts_over_on_llama(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        for event in haiku_events(["Due e "]):
            await wire.event(event)
            if event["type"] == "content_block_delta":
                break
        await upstream.llama_calls[0].closed.wait()
        wire.reset()

    upstream.llama(hang, llama_says("Dieci."))
    upstream.haiku(breaks_off)
    async with open_router(hedge_after_ms=20, first_content_timeout_s=60) as client:
        result = await client.chat_async(QUESTION)

    assert (result.text, result.ai_used) == ("Dieci.", "llama-scout")


async def test_a_llama_that_speaks_in_time_is_not_hedged_and_one_that_fails_is_replaced(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def fails_late(wire: Wire) -> None:
        while not upstream.haiku_calls:
            await asyncio.sleep(0.005)
        await status(500)(wire)

    upstream.llama(llama_says("Llama."), status(500), fails_late)
    upstream.haiku(haiku_says("Uno."), status(403))
    async with open_router(hedge_after_ms=60_000, first_content_timeout_s=120) as client:
        assert (await client.chat_async(QUESTION)).text == "Llama."
        assert (await client.chat_async(QUESTION)).fallback_reason == "server"
    async with open_router(hedge_after_ms=20) as client:
        with pytest.raises(AnswerUnavailable) as caught:
            await client.chat_async(QUESTION)

    assert {ai: error.kind for ai, error in caught.value.failures.items()} == {
        "llama-scout": "server",
        "haiku": "permission",
    }


async def test_a_hedge_that_answers_for_a_llama_that_failed_is_a_fallback(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def fails_late(wire: Wire) -> None:
        while not upstream.haiku_calls:
            await asyncio.sleep(0.005)
        await status(500)(wire)

    async def speaks_once_llama_has_failed(wire: Wire) -> None:
        while not client.ledger.outcomes["llama-scout", "server"]:
            await asyncio.sleep(0.005)
        await haiku_says("Eccomi.")(wire)

    upstream.llama(fails_late)
    upstream.haiku(speaks_once_llama_has_failed)
    async with open_router(hedge_after_ms=20) as client:
        assert (await client.chat_async(QUESTION)).text == "Eccomi."

    assert client.metrics["haiku_fallbacks"] == 1
    assert client.ledger.fallback_kinds == {"server": 1}


async def test_a_hedge_that_fails_is_haikus_first_call_of_two(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def fails_late(wire: Wire) -> None:
        while not upstream.haiku_calls:
            await asyncio.sleep(0.005)
        await status(500)(wire)

    upstream.llama(fails_late)
    upstream.haiku(status(529), status(529))
    async with open_router(hedge_after_ms=20) as client:
        with pytest.raises(AnswerUnavailable):
            await client.chat_async(QUESTION)


async def test_a_prompt_that_is_refused_in_a_race_is_refused(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def refuses_late(wire: Wire) -> None:
        while not upstream.haiku_calls:
            await asyncio.sleep(0.005)
        await llama_says("", finish="content_filter")(wire)

    upstream.llama(refuses_late)
    upstream.haiku(hang)
    async with open_router(hedge_after_ms=20) as client:
        with pytest.raises(ProviderError) as caught:
            await client.chat_async(QUESTION)

    assert caught.value.kind is FailureKind.CONTENT_FILTER
    assert client.ledger.unanswered == 0  # that is an answer too


async def test_a_model_that_uses_up_its_time_leaves_some_to_the_next(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def letters_for_ever(wire: Wire) -> None:
        await wire.head()
        while not wire.call.closed.is_set():
            await wire.event(llama_chunk("x"))
            await asyncio.sleep(0.01)

    upstream.llama(letters_for_ever)
    upstream.haiku(haiku_says("Eccomi."))
    async with open_router(total_timeout_s=2.4) as client:
        result = await client.chat_async(QUESTION)

    assert (result.text, result.fallback_reason) == ("Eccomi.", "timeout_total")


async def test_no_limit_takes_a_whole_answer_for_one_that_broke_off(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def whole_but_open(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Eccomi.", finish="stop"))
        await wire.hang()

    upstream.llama(whole_but_open)
    async with open_router(idle_timeout_s=0.5, total_timeout_s=1.8) as client:
        events = [event async for event in client.stream(QUESTION)]

    assert [type(event) for event in events] == [RouteChosen, TextDelta, Finished]


async def test_a_model_that_hangs_in_an_auxiliary_call_has_failed(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    upstream.llama(*[hang] * MIN_FAILURES)
    async with open_router() as client:
        for _ in range(MIN_FAILURES):
            assert (
                await client.call_auxiliary(Prompt(QUESTION), 50, 0.3, client.begin("auto")) is None
            )
        assert client.ledger.auxiliary_outcomes == {("llama-scout", "timeout_total"): MIN_FAILURES}
        assert client.llama is not None
        assert client.llama.circuit.state is CircuitState.OPEN


async def test_another_try_comes_after_a_moment_of_its_own(
    upstream: Upstream, open_router: OpenRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moment(least: float, most: float) -> float:
        bounds.append((least, most))
        return least

    bounds: list[tuple[float, float]] = []
    monkeypatch.setattr("random.uniform", moment)
    asked_at: list[float] = []

    async def fails(wire: Wire) -> None:
        asked_at.append(asyncio.get_running_loop().time())
        await status(529)(wire)

    upstream.haiku(fails, fails)
    async with open_router(openrouter_api_key_llama=None, first_content_timeout_s=60) as client:
        with pytest.raises(AnswerUnavailable):
            await client.chat_async(QUESTION)

    assert bounds == [(0.1, 0.4)]
    assert asked_at[1] - asked_at[0] >= 0.1


async def test_no_retry_after_the_total_limit(upstream: Upstream, open_router: OpenRouter) -> None:
    upstream.haiku(status(529, Retry_After="3"))
    limits = {"first_content_timeout_s": 20, "total_timeout_s": 2.0}
    async with open_router(openrouter_api_key_llama=None, **limits) as client:
        with pytest.raises(AnswerUnavailable):
            await client.chat_async(QUESTION)

    assert client.ledger.outcomes == {("haiku", "overloaded"): 1}


async def test_another_try_waits_until_the_circuit_lets_it_through(
    upstream: Upstream, open_router: OpenRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.llm.circuit.RATE_LIMIT_COOL_DOWN_S", 1.0)
    upstream.haiku(status(429), haiku_says("Eccomi."))
    limits = {"first_content_timeout_s": 30}
    async with open_router(openrouter_api_key_llama=None, **limits) as client:
        assert (await client.chat_async(QUESTION)).text == "Eccomi."


async def test_first_words_after_more_than_half_of_the_limit_are_slow(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def late(wire: Wire) -> None:
        await asyncio.sleep(5)
        await llama_says("Piano.")(wire)

    upstream.llama(*[late] * MIN_FAILURES)
    async with open_router(anthropic_api_key=None, first_content_timeout_s=8) as client:
        turns = [client.chat_async(QUESTION) for _ in range(MIN_FAILURES)]
        await asyncio.gather(*turns)
        assert client.llama is not None
        assert client.llama.circuit.state is CircuitState.OPEN
