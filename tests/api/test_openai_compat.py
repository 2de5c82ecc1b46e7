"""OpenAI's own client against `/v1`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.conftest import Serving
from tests.media.samples import data_url, picture
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


@asynccontextmanager
async def talking_to(service: httpx.AsyncClient) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key="unused", base_url=f"{service.base_url}/v1", max_retries=0
    ) as client:
        yield client


def asked() -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": QUESTION}]


async def test_the_models_are_listed(serving: Serving) -> None:
    async with serving() as service, talking_to(service) as client:
        listed = [model.id async for model in await client.models.list()]

    assert listed == ["zantara", "llama-scout", "haiku"]


async def test_zantara_answers_from_the_knowledge_base(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Oltre 10 miliardi ", "[1].", usage=llama_usage(cost=0.0004)))
    async with serving() as service, talking_to(service) as client:
        completion = await client.chat.completions.create(
            model="zantara",
            messages=[{"role": "system", "content": "Rispondi in rima."}, *asked()],
            max_tokens=50,
            temperature=0.2,
        )

    choice = completion.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Oltre 10 miliardi [1].", "stop")
    assert completion.model == "meta-llama/llama-4-scout"
    assert completion.usage
    assert completion.usage.total_tokens == 600
    beside = completion.model_extra["zantara"]  # type: ignore[index]
    assert beside["sources"][0]["document_id"] == "it/pt-pma-capital"
    assert beside["cost_usd"] == 0.0004
    sent = upstream.llama_calls[0].json
    assert (sent["max_tokens"], sent["temperature"]) == (50, 0.2)
    system = sent["messages"][0]["content"]
    assert system.startswith("You are ZANTARA")
    assert system.endswith("Rispondi in rima.")


async def test_a_stream_comes_in_chunks_and_ends_with_its_usage(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Oltre ", "10 ", "miliardi."))
    async with serving() as service, talking_to(service) as client:
        stream = await client.chat.completions.create(
            model="zantara",
            messages=asked(),
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]

    deltas = [c.choices[0].delta.content for c in chunks if c.choices]
    assert (deltas[0], deltas[-1]) == ("", None)
    assert "".join(delta or "" for delta in deltas) == "Oltre 10 miliardi."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-2].model_extra["zantara"]["ai_used"] == "llama-scout"  # type: ignore[index]
    assert chunks[-1].usage
    assert chunks[-1].usage.prompt_tokens == 500
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize(("model", "ai"), [("llama-scout", "llama-scout"), ("haiku", "haiku")])
async def test_either_model_can_be_had_without_the_knowledge_base(
    model: str, ai: str, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(*[llama_says("Salve.")] * (ai == "llama-scout"))
    upstream.haiku(*[haiku_says("Salve.")] * (ai == "haiku"))
    conversation: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": QUESTION},
    ]
    async with serving() as service, talking_to(service) as client:
        completion = await client.chat.completions.create(
            model=model,
            messages=conversation,
        )

    assert completion.choices[0].message.content == "Salve."
    assert completion.model_extra["zantara"]["ai_used"] == ai  # type: ignore[index]
    body = upstream.calls[0].json
    assert body["messages"][-1]["content"] == QUESTION
    told = body["messages"][0]["content"] if ai == "llama-scout" else body["system"]
    assert "Be brief." in str(told)
    assert "ZANTARA" not in str(body)


async def test_a_picture_is_sent_and_llama_broken_off_in_a_stream_is_continued(
    upstream: Upstream, serving: Serving
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Oltre 10 "))
        wire.reset()

    upstream.llama(breaks_off)
    upstream.haiku(haiku_says(" miliardi."))
    url = data_url("image/png", picture("PNG"))
    with_picture: ChatCompletionMessageParam = {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": QUESTION},
        ],
    }
    async with serving() as service, talking_to(service) as client:
        stream = await client.chat.completions.create(
            model="zantara",
            messages=[with_picture],
            stream=True,
        )
        chunks = [chunk async for chunk in stream]

    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == "Oltre 10 miliardi."
    shown = upstream.llama_calls[0].json["messages"][-1]["content"]
    assert [part["type"] for part in shown] == ["image_url", "text"]
    shown = upstream.haiku_calls[0].json["messages"][-2]["content"]
    assert [part["type"] for part in shown] == ["image", "text"]
    assert chunks[-1].model_extra["zantara"]["ai_used"] == "haiku"  # type: ignore[index]


async def breaks_off(wire: Wire) -> None:
    await wire.head()
    await wire.event(llama_chunk("Oltre 10 "))
    wire.reset()


async def test_what_nobody_can_finish_raises_in_the_client(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(breaks_off)
    async with serving(anthropic_api_key=None) as service, talking_to(service) as client:
        stream = await client.chat.completions.create(
            model="zantara",
            messages=asked(),
            stream=True,
        )
        with pytest.raises(openai.APIError) as raised:
            [chunk async for chunk in stream]

    told: Any = raised.value.body
    assert (told["zantara"]["answer_so_far"], told["zantara"]["resume"]) == ("Oltre 10 ", None)


@pytest.mark.parametrize("model", ["zantara", "llama-scout"])
async def test_a_stream_that_broke_off_is_gone_on_with_by_the_client(
    upstream: Upstream, serving: Serving, model: str
) -> None:
    upstream.llama(breaks_off)
    upstream.haiku(status(529), status(529), haiku_says(" miliardi, ", "dice Haiku."))
    async with serving(circuit_breaker=False) as service, talking_to(service) as client:
        asking: dict[str, Any] = {"model": model, "messages": asked(), "stream": True}
        with pytest.raises(openai.APIError) as raised:
            [chunk async for chunk in await client.chat.completions.create(**asking)]
        broken: Any = raised.value.body
        told = broken["zantara"]
        more = {told["resume"]: told["answer_so_far"]}
        stream = await client.chat.completions.create(**asking, extra_body=more)
        chunks = [chunk async for chunk in stream]

    rest = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert told["answer_so_far"] + rest == "Oltre 10 miliardi, dice Haiku."
    asked_last = upstream.haiku_calls[-1].json["messages"]
    assert asked_last[-1] == {"role": "assistant", "content": "Oltre 10"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_no_model_at_all_is_a_503_in_openais_form(serving: Serving) -> None:
    async with (
        serving(openrouter_api_key_llama=None, anthropic_api_key=None) as service,
        talking_to(service) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="haiku", messages=asked())

    assert caught.value.status_code == 503
    assert caught.value.type == "server_error"
    assert "No AI configured" in caught.value.message


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": "gpt-5"}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "42"}]}, "messages.0"),
        ({"messages": [{"role": "robot", "content": "42"}]}, "messages.0.role"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, None),
        ({"n": 2}, "n"),
        ({"continue_from": "Oltre"}, None),
        ({"continue_from": " ", "stream": True}, "continue_from"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"stop": ["\n"]}, "stop"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    ],
)
async def test_what_is_not_supported_is_refused_by_its_name(
    more: dict[str, object], param: str | None, serving: Serving
) -> None:
    async with serving() as service:
        body = {"model": "zantara", "messages": asked(), **more}
        response = await service.post("/v1/chat/completions", json=body)

    error = response.json()["error"]
    assert response.status_code == 422
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param or "")
    assert error["message"]


async def test_a_refusal_of_the_model_is_in_openais_form_too(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(403, {"error": {"code": 403, "metadata": {"reasons": ["violence"]}}}))
    async with serving() as service, talking_to(service) as client:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await client.chat.completions.create(model="zantara", messages=asked())

    assert caught.value.code == "content_filter"
