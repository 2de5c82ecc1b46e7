"""Conversations with tool calls, from one form into another and back."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.openai_request import CompletionIn
from app.events import Message, ToolCall, ToolResult
from app.llm.haiku_request import message_params, tool_params
from app.llm.openrouter_wire import message_params as openai_params
from app.llm.provider import ChatRequest

NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)  # fmt: skip
ARGUMENTS = st.dictionaries(st.text(max_size=8), VALUES, max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Questions, each with any number of rounds of calls, then an answer or none yet."""
    messages: list[Message] = []
    for turn in range(draw(st.integers(1, 3))):
        messages.append(Message("user", draw(WORDS)))
        for step in range(draw(st.integers(0, 2))):
            calls = tuple(
                ToolCall(f"call_{turn}_{step}_{n}", draw(NAMES), draw(ARGUMENTS))
                for n in range(draw(st.integers(1, 3)))
            )
            messages.append(Message("assistant", draw(st.just("") | WORDS), calls))
            results = [
                ToolResult(call.id, draw(st.text(max_size=20) if ok else WORDS), is_error=not ok)
                for call in draw(st.permutations(calls))
                for ok in [draw(st.booleans())]
            ]
            messages.append(Message("user", "", tool_results=tuple(results)))
        if draw(st.booleans()):
            messages.append(Message("assistant", draw(WORDS)))
    if messages[-1].role == "assistant":
        messages.append(Message("user", draw(WORDS)))
    return messages


def from_blocks(params: list[Any]) -> list[Message]:
    """Anthropic's form read back: the results of a user's turn are a message of their own."""
    messages: list[Message] = []
    for param in params:
        content = param["content"]
        is_text = isinstance(content, str)
        blocks: list[Any] = [{"type": "text", "text": content}] if is_text else content
        results = tuple(
            ToolResult(b["tool_use_id"], b["content"], b["is_error"])
            for b in blocks
            if b["type"] == "tool_result"
        )
        calls = tuple(
            ToolCall(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"
        )
        text = "".join(b["text"] for b in blocks if b["type"] == "text")
        if results:
            messages.append(Message("user", "", tool_results=results))
        if text or calls:
            messages.append(Message(param["role"], text, calls))
    return messages


@given(conversations())
def test_nothing_is_lost_on_the_way_to_anthropics_blocks_and_back(messages: list[Message]) -> None:
    request = ChatRequest(messages)
    params: list[Any] = message_params(request)

    assert from_blocks(params) == messages
    for asked, answered in pairwise(params):
        called = [b["id"] for b in asked["content"] if isinstance(b, dict) and b.get("id")]
        blocks = answered["content"] if isinstance(answered["content"], list) else []
        returned = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        assert sorted(called) == sorted(returned)
        # Results come before words, or the API refuses them.
        assert [b["type"] for b in blocks[: len(returned)]] == ["tool_result"] * len(returned)
    called_names = {call.name for message in messages for call in message.tool_calls}
    assert {tool["name"] for tool in tool_params(request)} == called_names


@given(conversations())
def test_nothing_is_lost_on_the_way_to_openais_form_and_back(messages: list[Message]) -> None:
    sent: list[Any] = [part for message in messages for part in openai_params(message)]
    read = CompletionIn(model="zantara", messages=sent).conversation({})

    # OpenAI's form has no mark for an error but the words.
    assert list(read) == [
        Message(
            message.role,
            message.content,
            message.tool_calls,
            tuple(
                ToolResult(r.call_id, f"Error: {r.content}" if r.is_error else r.content)
                for r in message.tool_results
            ),
        )
        for message in messages
    ]


def test_a_failed_tools_mark_reaches_anthropic() -> None:
    called = {"id": "call_1", "function": {"name": "weather", "arguments": ""}}
    body = CompletionIn.model_validate(
        {
            "model": "haiku",
            "messages": [
                {"role": "user", "content": "Piove?"},
                {"role": "assistant", "content": None, "tool_calls": [called]},
                {"role": "tool", "tool_call_id": "call_1", "content": "", "is_error": True},
            ],
        }
    )
    _, asked, answered = message_params(ChatRequest(body.conversation({})))

    assert asked["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}
    ]
    # An error without a word is refused by the API.
    assert answered["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "failed", "is_error": True}
    ]


def call(call_id: str = "call_1", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "function": {"name": "weather", "arguments": arguments}}


def result(call_id: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "rain"}


QUESTION = {"role": "user", "content": "Piove?"}


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([QUESTION, result()], "messages.1.tool_call_id names no call"),
        ([QUESTION, {"role": "assistant", "tool_calls": [call()]}, QUESTION], "before the results"),
        ([QUESTION, {"role": "assistant", "tool_calls": [call(), call("b")]}, result()], "missing"),
        ([{"role": "assistant", "tool_calls": [call()]}, result()], "no question"),
        ([{**QUESTION, "tool_calls": [call()]}], "only the assistant"),
        ([QUESTION, {"role": "tool", "content": "rain"}], "needs tool_call_id"),
        ([QUESTION, {"role": "assistant", "tool_calls": [call(arguments="[1]")]}], "JSON object"),
        ([QUESTION, {"role": "assistant", "tool_calls": [call(arguments="{")]}], "JSON object"),
        ([QUESTION, {"role": "assistant", "tool_calls": [call("a b")]}, result("a b")], "pattern"),
    ],
)  # fmt: skip
def test_a_history_that_no_model_would_take_is_refused_with_its_place(
    messages: list[Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        CompletionIn(model="zantara", messages=messages)
