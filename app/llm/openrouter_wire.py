"""OpenAI's chat-completion chunks, as OpenRouter sends them: bytes to our events.

Decoding is typed (msgspec), so that a chunk of another shape is refused as a
fault of the provider and never reaches code that expects something else.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from app.errors import FailureKind, ProviderError
from app.events import FinishReason, Message, TextDelta, Usage
from app.llm.failures import MALFORMED_JSON, failure_from_response
from app.llm.provider import (
    CallUsage,
    ChatRequest,
    Completed,
    Dollars,
    ModelName,
    ProviderEvent,
    Tokens,
    ToolCallDelta,
)
from app.llm.tools import Toolbox, ToolCallAccumulator

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCallDelta(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCallDelta] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    error: dict[str, Any] | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Tokens
    completion_tokens: Tokens
    cost: Dollars | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    choices: list[_Choice] | None = None
    model: ModelName | None = None
    usage: Any = None
    error: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Chunk)


class Completion:
    """One completion while its chunks come in."""

    def __init__(self, call_usage: CallUsage, *, tools_given: bool) -> None:
        self.finished = False
        """Nothing but the usage may follow."""
        self.ended = False
        """Nothing at all follows."""
        self._call_usage = call_usage
        self._id: str | None = None
        self._started = False
        self._failure: ProviderError | None = None
        self._finish_reason: FinishReason | None = None
        self._calls = ToolCallAccumulator(allowed=tools_given)

    @property
    def failed(self) -> bool:
        """Whether it finished because the model failed or refused, as the provider says."""
        return self._failure is not None

    def take(self, data: bytes) -> TextDelta | ToolCallDelta | None:
        """Apply a chunk; return its content, if it has any.

        Raises `ProviderError` for a malformed chunk or one of another answer, until it is known
        how the answer ends: nothing can spoil that. The failure that an error chunk tells is
        raised by `closing_events`, once the usage has arrived.
        """
        if data == b"[DONE]":
            self.ended = True
        if self.ended:
            return None
        try:
            chunk = _decoder.decode(data)
        except MALFORMED_JSON as error:
            if self.finished:
                return None
            raise ProviderError(FailureKind.PROTOCOL, "a malformed chunk") from error
        self._call_usage.model = chunk.model or self._call_usage.model
        if chunk.usage is not None:
            self._take_usage(chunk.usage)
        if self.finished:
            return None
        if chunk.error is not None:
            self._fail(failure_from_response(200, {}, chunk.error))
            return None
        if not chunk.choices:
            return None
        self._require_one_answer(chunk.id, chunk.choices)
        content = self._take_choice(chunk.choices[0])
        if content is not None:
            self._started = True
        return content

    def _require_one_answer(self, chunk_id: str | None, choices: Sequence[_Choice]) -> None:
        for choice in choices:
            if choice.index != 0:
                raise ProviderError(FailureKind.PROTOCOL, "more answers than the one asked for")
        if chunk_id and chunk_id != self._id:
            if self._started and self._id:
                raise ProviderError(
                    FailureKind.PROTOCOL, "another answer after the first had begun"
                )
            self._id = chunk_id

    def _take_usage(self, given: Any) -> None:
        try:
            usage = msgspec.convert(given, _Usage)
        except msgspec.ValidationError:
            return  # usage that cannot be read does not fail the answer
        self._call_usage.usage = Usage(usage.prompt_tokens, usage.completion_tokens)
        self._call_usage.billed_usd = usage.cost

    def _take_choice(self, choice: _Choice) -> TextDelta | ToolCallDelta | None:
        if choice.error is not None:
            self._fail(failure_from_response(200, {}, choice.error))
            return None
        if choice.finish_reason == "content_filter":
            self._fail(ProviderError(FailureKind.CONTENT_FILTER, "the model's filter refused"))
            return None
        delta = choice.delta or _Delta()
        for call in delta.tool_calls or ():
            function = call.function or _Function()
            self._calls.open(call.index, call.id or "", function.name or "")
            self._calls.append(call.index, function.arguments or "")
        if choice.finish_reason:  # some servers send an empty one with every chunk
            self._take_finish(choice.finish_reason)
        if delta.content:
            return TextDelta(delta.content)
        return ToolCallDelta() if delta.tool_calls else None

    def _take_finish(self, reason: str) -> None:
        if reason not in _FINISH_REASONS:
            self._fail(ProviderError(FailureKind.SERVER, "the model broke off with an error"))
            return
        self._finish_reason = _FINISH_REASONS[reason]
        self.finished = True

    def _fail(self, failure: ProviderError) -> None:
        self._failure = failure
        self.finished = True

    def closing_events(self) -> list[ProviderEvent]:
        """Return the complete tool calls and the closing event.

        Raises `ProviderError` when the model failed, its filter refused, the stream
        ended without a finish reason or a tool's arguments are not JSON.
        """
        if self._failure is not None:
            raise self._failure
        if self._finish_reason is None:
            raise ProviderError(FailureKind.PROTOCOL, "the stream ended without a finish reason")
        reason = self._finish_reason
        calls = self._calls.complete(cut_off=reason is FinishReason.LENGTH)
        if calls and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS  # some of the hosts behind OpenRouter say `stop`
        return [*calls, Completed(reason)]


def request_body(request: ChatRequest, model: str) -> bytes:
    """The JSON body of a streamed chat completion."""
    system = [{"role": "system", "content": request.system}] if request.system else []
    body: dict[str, Any] = {
        "model": model,
        "messages": [*system, *(part for m in request.messages for part in message_params(m))],
        "max_tokens": request.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "usage": {"include": True},
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.toolbox.tools:
        body |= _tool_fields(request.toolbox)
    return msgspec.json.encode(body)


def message_params(message: Message) -> list[dict[str, Any]]:
    """A message in OpenAI's form: a message for each result, which has no mark for an error."""
    if message.tool_results:
        return [
            {
                "role": "tool",
                "tool_call_id": result.call_id,
                "content": f"Error: {result.content}" if result.is_error else result.content,
            }
            for result in message.tool_results
        ]
    if message.pictures:
        return [{"role": message.role, "content": _shown(message)}]
    if not message.tool_calls:
        return [{"role": message.role, "content": message.content}]
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": msgspec.json.encode(call.arguments).decode(),
            },
        }
        for call in message.tool_calls
    ]
    return [{"role": message.role, "content": message.content or None, "tool_calls": calls}]


def _shown(message: Message) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for picture in message.pictures:
        if picture.caption:
            parts.append({"type": "text", "text": picture.caption})
        url = f"data:image/jpeg;base64,{picture.base64}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return [*parts, {"type": "text", "text": message.content}]


def _tool_fields(toolbox: Toolbox) -> dict[str, Any]:
    choice: Any = toolbox.choice
    if choice == "tool":
        choice = {"type": "function", "function": {"name": toolbox.required_name}}
    fields: dict[str, Any] = {
        "tools": [{"type": "function", "function": tool} for tool in toolbox.tools]
    }
    if choice != "auto":
        fields["tool_choice"] = choice
    if not toolbox.parallel:
        fields["parallel_tool_calls"] = False
    return fields
