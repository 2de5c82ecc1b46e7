"""A small window: what is asked of a model fits it, whatever an application adds."""

from typing import Any

from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.api.test_openai_compat import QUESTION, asked, talking_to
from tests.conftest import Serving
from tests.upstream import Upstream, haiku_says, llama_says

WINDOW = 8_000
ANSWER = 1_000
CHARACTERS_PER_TOKEN = 3
"""Of Indonesian."""


def tokens_of(call: Any) -> int:
    """What a request takes of a window, the answer included; its frame is left out."""
    read = [call.get("system", ""), *(message["content"] for message in call["messages"])]
    read += [tool["name"] + tool["description"] for tool in call.get("tools", [])]
    answer: int = call["max_tokens"]
    return sum(map(len, read)) // CHARACTERS_PER_TOKEN + answer


async def test_instructions_take_the_place_of_passages_and_not_of_the_cheaper_model(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Oltre 10 miliardi [1]."))
    told: ChatCompletionMessageParam = {"role": "system", "content": "Rispondi in rima. " * 700}
    async with (
        serving(llama_context_tokens=WINDOW, haiku_context_tokens=WINDOW) as service,
        talking_to(service) as client,
    ):
        await client.chat.completions.create(
            model="zantara", messages=[told, *asked()], max_tokens=ANSWER
        )

    sent = upstream.llama_calls[0].json
    assert "[1] " in sent["messages"][-1]["content"]
    assert tokens_of(sent) <= WINDOW


async def test_the_oldest_turns_make_room_for_the_tools_of_an_application(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_says("Oltre 10 miliardi [1]."))
    tools: list[ChatCompletionToolParam] = [
        {"type": "function", "function": {"name": f"tool_{n}", "description": "Serve. " * 400}}
        for n in range(4)
    ]
    earlier: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": f"Domanda {n}: {QUESTION}"}
        if is_question
        else {"role": "assistant", "content": f"Risposta {n}. " * 20}
        for n in range(60)
        for is_question in (True, False)
    ]
    async with serving(haiku_context_tokens=WINDOW) as service, talking_to(service) as client:
        await client.chat.completions.create(
            model="zantara", messages=[*earlier, *asked()], tools=tools, max_tokens=ANSWER
        )

    sent = upstream.haiku_calls[0].json
    assert tokens_of(sent) <= WINDOW
    assert len(sent["messages"]) > 1
    assert sent["messages"][-2]["content"] == earlier[-1]["content"]


async def test_the_oldest_turns_make_room_for_what_was_said_of_the_answer(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_says(" e il resto [1]."))
    earlier = [
        {"role": role, "content": f"Turno {n}. " * 20}
        for n in range(60)
        for role in ("user", "assistant")
    ]
    body = {
        "messages": [*earlier, *asked()],
        "stream": True,
        "max_tokens": ANSWER,
        "continue_from": "Oltre dieci miliardi di rupie. " * 300,
    }
    async with serving(haiku_context_tokens=WINDOW) as service:
        response = await service.post("/chat", json=body)

    assert "e il resto" in response.text
    sent = upstream.haiku_calls[0].json
    assert sent["messages"][-1]["role"] == "assistant"
    assert len(sent["messages"]) > 2
    assert tokens_of(sent) <= WINDOW
