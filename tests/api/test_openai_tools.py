"""A caller's own tools through OpenAI's client."""

import json
from typing import Any

import openai
import pytest
from openai.types.chat import (
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)

from tests.api.test_openai_compat import QUESTION, asked, talking_to
from tests.conftest import Serving
from tests.upstream import (
    Upstream,
    Wire,
    haiku_calls,
    haiku_events,
    haiku_says,
    llama_calls,
    llama_says,
)

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "description": "Weather in a city", "parameters": SCHEMA},
}
TIME: ChatCompletionToolParam = {"type": "function", "function": {"name": "time"}}
UBUD = ("toolu_1", "weather", {"city": "Ubud"})
NOW = ("toolu_2", "time", "")


def calls_of(message: Any) -> list[tuple[str, str, Any]]:
    return [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls or ()
        if isinstance(call, ChatCompletionMessageFunctionToolCall)
    ]


@pytest.mark.parametrize("model", ["zantara", "llama-scout", "haiku"])
async def test_a_conversation_with_tools_goes_through_haiku_to_its_end(
    model: str, upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(UBUD, NOW, text="Guardo."), haiku_says("Piove, sono le tre."))
    conversation: list[ChatCompletionMessageParam] = asked()
    async with serving() as service, talking_to(service) as client:
        first = await client.chat.completions.create(
            model=model, messages=conversation, tools=[WEATHER, TIME]
        )
        message = first.choices[0].message
        conversation += [
            message.model_dump(exclude_none=True),  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": "toolu_2", "content": "15:00"},
            {
                "role": "tool",
                "tool_call_id": "toolu_1",
                "content": [{"type": "text", "text": "rain"}],
            },
        ]
        second = await client.chat.completions.create(
            model=model, messages=conversation, tools=[WEATHER, TIME]
        )

    assert first.choices[0].finish_reason == "tool_calls"
    assert message.content == "Guardo."
    assert calls_of(message) == [("toolu_1", "weather", {"city": "Ubud"}), ("toolu_2", "time", {})]
    assert second.choices[0].message.content == "Piove, sono le tre."
    assert second.choices[0].finish_reason == "stop"

    asked_first, asked_again = (call.json for call in upstream.haiku_calls)
    assert asked_first["tools"] == [
        {"name": "weather", "description": "Weather in a city", "input_schema": SCHEMA},
        {
            "name": "time",
            "description": "",
            "input_schema": {"type": "object", "properties": {}},
        },
    ]
    assert "tool_choice" not in asked_first
    question, called, returned = asked_again["messages"]
    assert question["content"].endswith(QUESTION)
    assert ("passages-" in question["content"]) is (model == "zantara")
    assert called["content"] == [
        {"type": "text", "text": "Guardo."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ubud"}},
        {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}},
    ]
    assert [(b["tool_use_id"], b["content"]) for b in returned["content"]] == [
        ("toolu_2", "15:00"),
        ("toolu_1", "rain"),
    ]


async def test_tool_calls_are_streamed_in_openais_deltas(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(UBUD, NOW, text="Guardo."))
    async with serving() as service, talking_to(service) as client:
        stream = await client.chat.completions.create(
            model="zantara", messages=asked(), tools=[WEATHER, TIME], stream=True
        )
        chunks = [chunk async for chunk in stream]

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Guardo."
    deltas = [delta for c in chunks for delta in c.choices[0].delta.tool_calls or ()]
    assert [(d.index, d.id) for d in deltas if d.id] == [(0, "toolu_1"), (1, "toolu_2")]
    arguments = ["", ""]
    for delta in deltas:
        assert delta.function
        arguments[delta.index] += delta.function.arguments or ""
    assert [json.loads(text) for text in arguments] == [{"city": "Ubud"}, {}]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_the_clients_own_accumulator_puts_the_calls_together(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(UBUD, NOW))
    async with (
        serving() as service,
        talking_to(service) as client,
        client.chat.completions.stream(
            model="haiku", messages=asked(), tools=[WEATHER, TIME]
        ) as stream,
    ):
        completion = await stream.get_final_completion()

    message = completion.choices[0].message
    assert calls_of(message) == [("toolu_1", "weather", {"city": "Ubud"}), ("toolu_2", "time", {})]


@pytest.mark.parametrize(
    ("more", "sent"),
    [
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": False}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": False},
        ),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
async def test_how_tools_may_be_used_reaches_haiku(
    more: dict[str, Any], sent: object, upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_says("Va bene."))
    async with serving() as service, talking_to(service) as client:
        await client.chat.completions.create(
            model="haiku", messages=asked(), tools=[WEATHER], **more
        )

    assert upstream.haiku_calls[0].json.get("tool_choice") == sent


async def test_llama_takes_tools_when_it_is_alone(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(llama_calls(("call_1", "weather", '{"city": "Ubud"}'), finish="stop"))
    upstream.llama(llama_says("Piove."))
    conversation: list[ChatCompletionMessageParam] = asked()
    async with serving(anthropic_api_key=None) as service, talking_to(service) as client:
        first = await client.chat.completions.create(
            model="llama-scout",
            messages=conversation,
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            parallel_tool_calls=False,
        )
        conversation += [
            first.choices[0].message.model_dump(exclude_none=True),  # type: ignore[list-item]
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": "rain",
            },
        ]
        await client.chat.completions.create(model="llama-scout", messages=conversation)

    assert first.choices[0].finish_reason == "tool_calls"
    assert calls_of(first.choices[0].message) == [("call_1", "weather", {"city": "Ubud"})]
    sent, again = (call.json for call in upstream.llama_calls)
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert sent["parallel_tool_calls"] is False
    assert again["messages"][1]["tool_calls"][0]["function"]["name"] == "weather"
    assert again["messages"][2] == conversation[2]


async def test_a_call_that_breaks_off_is_asked_for_again(
    upstream: Upstream, serving: Serving
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        block = {"type": "tool_use", "id": "toolu_0", "name": "weather", "input": {}}
        delta = {"type": "input_json_delta", "partial_json": '{"city": "Den'}
        for event in (
            haiku_events([])[0],
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
        ):
            await wire.event(event, name=str(event["type"]))
        wire.reset()

    upstream.haiku(breaks_off, haiku_calls(UBUD))
    async with (
        serving() as service,
        talking_to(service) as client,
        client.chat.completions.stream(
            model="zantara", messages=asked(), tools=[WEATHER]
        ) as stream,
    ):
        completion = await stream.get_final_completion()

    message = completion.choices[0].message
    assert calls_of(message) == [("toolu_1", "weather", {"city": "Ubud"})]


async def test_an_answer_with_tools_that_breaks_off_raises_in_the_client(
    upstream: Upstream, serving: Serving
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        for event in haiku_events(["Guardo "])[:4]:
            await wire.event(event, name=event["type"])
        wire.reset()

    upstream.haiku(breaks_off)
    async with serving() as service, talking_to(service) as client:
        stream = await client.chat.completions.create(
            model="zantara", messages=asked(), tools=[WEATHER], stream=True
        )
        with pytest.raises(openai.APIError) as raised:
            [chunk async for chunk in stream]

    told: Any = raised.value.body
    assert (told["zantara"]["answer_so_far"], told["zantara"]["resume"]) == ("Guardo ", None)


async def test_a_call_cut_off_at_the_token_limit_is_left_out(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_calls(UBUD, ("toolu_2", "time", '{"zone": "WI'), stop_reason="max_tokens"))
    async with serving() as service, talking_to(service) as client:
        completion = await client.chat.completions.create(
            model="haiku", messages=asked(), tools=[WEATHER, TIME], max_tokens=20
        )

    assert completion.choices[0].finish_reason == "length"
    assert calls_of(completion.choices[0].message) == [("toolu_1", "weather", {"city": "Ubud"})]


async def test_tools_that_a_history_alone_knows_are_declared_but_not_to_be_called(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_says("Piove."))
    conversation: list[ChatCompletionMessageParam] = [
        *asked(),
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_9",
                    "type": "function",
                    "function": {"name": "weather", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_9", "content": "rain"},
        {"role": "user", "content": "E allora?"},
    ]
    async with serving() as service, talking_to(service) as client:
        await client.chat.completions.create(model="haiku", messages=conversation)

    sent = upstream.haiku_calls[0].json
    assert [tool["name"] for tool in sent["tools"]] == ["weather"]
    assert sent["tool_choice"] == {"type": "none"}
    assert [b["type"] for b in sent["messages"][-1]["content"]] == ["tool_result", "text"]


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather", **function}}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [tool(name="il tempo")]}, "tools.0.function.name", "pattern"),
    ({"tools": [tool(), tool()]}, "", "same name"),
    ({"tools": [tool()] * 129}, "tools", "128"),
    ({"tools": [{"type": "web_search"}]}, "tools.0.type", "function"),
    (
        {"tools": [tool(parameters={"type": "array"})]},
        "tools.0.function.parameters",
        "object",
    ),
    (
        {"tools": [tool(parameters={"description": "x" * 32_000})]},
        "tools.0.function.parameters",
        "longer than 32000 bytes",
    ),
    ({"tool_choice": "required"}, "", "no tools"),
    (
        {
            "tools": [tool()],
            "tool_choice": {"type": "function", "function": {"name": "time"}},
        },
        "",
        "not among tools",
    ),
]


async def test_a_tool_that_no_model_would_take_is_refused_with_its_field(serving: Serving) -> None:
    async with serving() as service:
        for more, param, said in REFUSED:
            body = {"model": "zantara", "messages": asked(), **more}
            response = await service.post("/v1/chat/completions", json=body)

            error = response.json()["error"]
            assert response.status_code == 422, more
            assert (error["param"] or "").startswith(param)
            assert said in error["message"]
