"""What Anthropic's API is asked: our conversation and tools in its form."""

from collections.abc import Sequence

from anthropic.types import (
    Base64ImageSourceParam,
    ContentBlockParam,
    MessageParam,
    ToolChoiceParam,
    ToolParam,
    UserMessageParam,
)

from app.events import Message, ToolResult
from app.llm.provider import ChatRequest
from app.llm.tools import Tool

_ANYTHING = {"type": "object"}


def message_params(request: ChatRequest) -> list[MessageParam]:
    """The conversation in Anthropic's form: the results of tools are the user's first words."""
    params: list[MessageParam] = []
    results: list[ContentBlockParam] = []
    for message in request.messages:
        if message.tool_results:
            results += _result_blocks(message.tool_results)
            continue
        if message.role == "assistant" and results:
            params.append({"role": "user", "content": results})
            results = []
        params.append(_param(message, results))
        results = []
    return [*params, UserMessageParam(role="user", content=results)] if results else params


def _param(message: Message, results: Sequence[ContentBlockParam]) -> MessageParam:
    plain = not (message.tool_calls or message.pictures or results)
    content = message.content if plain else [*results, *_said_blocks(message)]
    if message.role == "user":
        return {"role": "user", "content": content}
    return {"role": "assistant", "content": content}


def _result_blocks(results: Sequence[ToolResult]) -> list[ContentBlockParam]:
    return [
        {
            "type": "tool_result",
            "tool_use_id": result.call_id,
            # An error without a word is refused.
            "content": result.content or ("failed" if result.is_error else ""),
            "is_error": result.is_error,
        }
        for result in results
    ]


def _said_blocks(message: Message) -> list[ContentBlockParam]:
    text: list[ContentBlockParam] = [{"type": "text", "text": message.content}]
    calls: list[ContentBlockParam] = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]
    return [*_shown_blocks(message), *(text if message.content.strip() else ()), *calls]


def _shown_blocks(message: Message) -> list[ContentBlockParam]:
    blocks: list[ContentBlockParam] = []
    for picture in message.pictures:
        if picture.caption:
            blocks.append({"type": "text", "text": picture.caption})
        source: Base64ImageSourceParam = {
            "type": "base64",
            "media_type": "image/jpeg",
            "data": picture.base64,
        }
        blocks.append({"type": "image", "source": source})
    return blocks


def tool_params(request: ChatRequest) -> list[ToolParam]:
    """The tools in Anthropic's form, and those that the history alone knows: it needs them."""
    tools = request.toolbox.tools
    called = {call.name for message in request.messages for call in message.tool_calls}
    gone = sorted(called - {tool.name for tool in tools})
    return [
        {"name": t.name, "description": t.description, "input_schema": dict(t.parameters)}
        for t in (*tools, *(Tool(name, "Not there any more.", _ANYTHING) for name in gone))
    ]


def tool_choice_param(request: ChatRequest) -> ToolChoiceParam | None:
    """How the tools may be used, in Anthropic's form; None where it is as it likes."""
    toolbox = request.toolbox
    one_at_a_time = not toolbox.parallel
    if toolbox.choice == "none" or not toolbox.tools:
        return {"type": "none"} if tool_params(request) else None
    if toolbox.choice == "tool":
        name = toolbox.required_name or ""
        return {"type": "tool", "name": name, "disable_parallel_tool_use": one_at_a_time}
    if toolbox.choice == "required":
        return {"type": "any", "disable_parallel_tool_use": one_at_a_time}
    return {"type": "auto", "disable_parallel_tool_use": True} if one_at_a_time else None
