"""What Open WebUI sends, as its `routers/openai.py` and `routers/tasks.py` make it."""

import json
from typing import Any

from tests.conftest import Serving
from tests.upstream import Upstream, haiku_calls, haiku_says, llama_says

QUESTION = "Quanto capitale serve per una PT PMA?"
TITLE_TASK = (
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
    '### Output:\nJSON format: { "title": "your concise title here" }\n'
    f"### Chat History:\n<chat_history>\nUSER: {QUESTION}\nASSISTANT: Oltre 10 miliardi.\n"
    "</chat_history>"
)
FOLLOWED_UP: list[dict[str, Any]] = [
    {"role": "system", "content": "Rispondi in italiano."},
    {"role": "user", "content": "Ciao"},
    # The person stopped this answer before its first word.
    {"role": "assistant", "content": ""},
    {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
]


def chunks_of(body: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data:")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_a_conversation_and_its_title(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(
        llama_says("Oltre 10 ", "miliardi [1]."), llama_says('{ "title": "💼 Capitale PT PMA" }')
    )
    key = {"Authorization": "Bearer none"}
    async with serving() as client:
        listed = (await client.get("/v1/models", headers=key)).json()
        chat = {
            "model": "zantara",
            "messages": FOLLOWED_UP,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.7,
            "seed": 1,
            "frequency_penalty": 0,
        }
        streamed = await client.post("/v1/chat/completions", json=chat, headers=key)
        # Titles, tags and follow-ups are one call each, not streamed, with the whole task in one
        # message; its answer is read as JSON.
        title = {
            "model": "llama-scout",
            "messages": [{"role": "user", "content": TITLE_TASK}],
            "stream": False,
            "max_completion_tokens": 1000,
        }
        titled = (await client.post("/v1/chat/completions", json=title, headers=key)).json()

    assert listed["object"] == "list"
    assert {"id", "object", "created", "owned_by"} == set(listed["data"][0])
    chunks = chunks_of(streamed.text)
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert text == "Oltre 10 miliardi [1]."
    assert chunks[-1]["usage"]["total_tokens"] == 600
    assert json.loads(titled["choices"][0]["message"]["content"])["title"] == "💼 Capitale PT PMA"
    sent, asked = (call.json for call in upstream.llama_calls)
    assert [m["role"] for m in sent["messages"]] == ["system", "user", "user"]
    # Nothing in a message begins a turn of its own.
    quoted = TITLE_TASK.replace("USER:", '"USER":').replace("ASSISTANT:", '"ASSISTANT":')
    assert asked["messages"] == [{"role": "user", "content": quoted}]
    assert asked["max_tokens"] == 1000


async def test_its_native_tool_calling(upstream: Upstream, serving: Serving) -> None:
    upstream.haiku(
        haiku_calls(("toolu_1", "get_time", {"zone": "WITA"})), haiku_says("Sono le tre.")
    )
    function = {"name": "get_time", "description": "", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    messages: list[Any] = [{"role": "user", "content": "Che ore sono a Bali?"}]
    async with serving() as client:
        body = {"model": "zantara", "messages": messages, "stream": True, "tools": tools}
        first = chunks_of((await client.post("/v1/chat/completions", json=body)).text)
        calls: dict[int, Any] = {}
        for delta in (d for c in first for d in c["choices"][0]["delta"].get("tool_calls", ())):
            call = calls.setdefault(delta["index"], delta)
            if call is not delta:
                call["function"]["arguments"] += delta["function"]["arguments"]
        messages += [
            {"role": "assistant", "content": "", "tool_calls": list(calls.values())},
            {"role": "tool", "tool_call_id": calls[0]["id"], "content": "15:00"},
        ]
        second = chunks_of((await client.post("/v1/chat/completions", json=body)).text)

    assert first[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert json.loads(calls[0]["function"]["arguments"]) == {"zone": "WITA"}
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in second)
    assert text == "Sono le tre."
