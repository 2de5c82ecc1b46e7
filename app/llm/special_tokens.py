"""Escape what a model would read as more than text.

Llama's turns are marked by tokens such as `<|eot|>`, older models' and Claude's by words at
the beginning of a line and by tags. In the text of a caller or a document they are escaped.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from app.events import Message, ToolCall, ToolResult
from app.llm.provider import Prompt

# Control characters, and those which a person does not see but a model reads: zero widths, fillers,
# changes of direction, tags, and selectors of a variant, which spell any byte.
# Not U+200C to U+200F, which some scripts and flags need.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
# By the character that each begins with: what begins with one, not with one of several, is found
# three times as fast in a long prompt. Every token of Llama 3 and 4 begins with `<|`; the next
# are Llama 2's, the tags Claude's.
_TOKENS = {
    "<": re.compile(
        r"<(?=\||/?s>|</?SYS>"
        r"|/?(?:antml:)?(?:system|assistant|human|user|developer|thinking|invoke|parameter"
        r"|(?:function|tool)_\w)"
        r")",
        re.IGNORECASE,
    ),
    "[": re.compile(r"\[(?=/?INST\])", re.IGNORECASE),
}
_TURNS = {
    end: re.compile(
        rf"({end}[ \t>#*_-]{{0,16}})"
        r"(system|assistant|user|human|developer|tool|function)(?=[ \t*_]{0,8}:)",
        re.IGNORECASE,
    )
    for end in "\n\r\x85\u2028\u2029"
}


def escape_special_tokens(prompt: Prompt) -> Prompt:
    """Return the prompt with no special token and no turn marker in its texts."""
    messages = [_message(message) for message in prompt.messages]
    return Prompt(messages, prompt.system and escape_text(prompt.system))


def escape_text(text: str) -> str:
    """Return `<|eot|>` as `‹|eot|>`, `system:` at the start of a line as `"system":`."""
    text = "\n" + _UNSEEN.sub("", text)
    for begin, token in _TOKENS.items():
        if begin in text:
            text = token.sub("‹", text)
    for end, turn in _TURNS.items():
        if end in text:
            text = turn.sub(r'\1"\2"', text)
    return text[1:]


def _message(message: Message) -> Message:
    content = escape_text(message.content)
    if content == message.content and not (message.tool_calls or message.tool_results):
        return message  # most are, and a copy takes as long as the look
    return replace(
        message,
        content=content,
        tool_calls=tuple(
            ToolCall(call.id, call.name, _value(call.arguments)) for call in message.tool_calls
        ),
        tool_results=tuple(
            ToolResult(result.call_id, escape_text(result.content), result.is_error)
            for result in message.tool_results
        ),
    )


def _value(value: Any) -> Any:
    """JSON whose texts are escape_text, names included."""
    match value:
        case str():
            return escape_text(value)
        case Mapping():
            return {escape_text(name): _value(part) for name, part in value.items()}
        case list():
            return [_value(part) for part in value]
    return value
