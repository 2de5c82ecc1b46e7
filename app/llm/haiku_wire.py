"""Anthropic's message stream: bytes to our events.

The SDK's own event models are built without validation, so that a malformed
event surfaces as an `AttributeError` far away; decoding here is typed.
"""

from typing import Any

import msgspec
from anthropic.types import AssistantMessageParam, MessageParam, ToolParam, UserMessageParam

from app.errors import FailureKind, ProviderError
from app.events import FinishReason, TextDelta, ToolCall, Usage
from app.llm.failures import failure_from_response
from app.llm.provider import ChatRequest, Completed, ProviderEvent

_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
}


class _Block(msgspec.Struct):
    type: str
    id: str = ""
    name: str = ""


class _Delta(msgspec.Struct):
    text: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Start(msgspec.Struct):
    model: str
    usage: Any = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Start | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Any = None
    error: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Event)


class MessageStream:
    """One message while its events come in."""

    def __init__(self, model: str, *, tools_given: bool) -> None:
        self.stopped = False
        self._model = model
        self._tools_given = tools_given
        self._stop_reason: str | None = None
        self._input_tokens: int | None = None
        self._output_tokens = 0
        self._calls: dict[int, _Block] = {}
        self._arguments: dict[int, str] = {}

    def take(self, data: bytes) -> TextDelta | None:
        """Note what an event says; return its text, if it has any.

        Raises `ProviderError` for an error event or a malformed one.
        """
        try:
            event = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProviderError(FailureKind.PROTOCOL, "a malformed event") from error
        if event.error is not None:
            raise failure_from_response(200, {}, event.error)
        if event.message is not None:
            self._model = event.message.model
            self._take_usage(event.message.usage)
        self._take_usage(event.usage)
        if event.content_block is not None and event.content_block.type == "tool_use":
            self._open_call(event.index, event.content_block)
        self.stopped = self.stopped or event.type == "message_stop"
        return self._take_delta(event.index, event.delta) if event.delta is not None else None

    def _take_usage(self, given: Any) -> None:
        try:
            usage = msgspec.convert(given or {}, _Usage)
        except msgspec.ValidationError:
            return  # a bill that cannot be read does not spoil the answer
        # Cumulative, so the last one replaces; cache reads and writes are not in it.
        if usage.input_tokens is not None:
            self._input_tokens = (
                usage.input_tokens
                + (usage.cache_read_input_tokens or 0)
                + (usage.cache_creation_input_tokens or 0)
            )
        self._output_tokens = usage.output_tokens or self._output_tokens

    def _open_call(self, index: int, block: _Block) -> None:
        if not self._tools_given:
            raise ProviderError(FailureKind.PROTOCOL, "a tool call, but no tool was given")
        self._calls[index] = block
        self._arguments[index] = ""

    def _take_delta(self, index: int, delta: _Delta) -> TextDelta | None:
        self._stop_reason = delta.stop_reason or self._stop_reason
        if delta.partial_json and index in self._arguments:
            self._arguments[index] += delta.partial_json
        return TextDelta(delta.text) if delta.text else None

    def closing_events(self) -> list[ProviderEvent]:
        """The tool calls, whole, and the closing event.

        Raises `ProviderError` when the stream was cut, refused, or ended on a
        reason that does not end an answer.
        """
        if not self.stopped:
            raise ProviderError(FailureKind.PROTOCOL, "the stream ended without message_stop")
        if self._stop_reason == "refusal":
            raise ProviderError(FailureKind.CONTENT_FILTER, "the model refused")
        if self._stop_reason not in _FINISH_REASONS:
            raise ProviderError(FailureKind.PROTOCOL, "no known stop reason")
        usage = None
        if self._input_tokens is not None:
            usage = Usage(self._input_tokens, self._output_tokens)
        completed = Completed(_FINISH_REASONS[self._stop_reason], self._model, usage, None)
        return [*(self._whole(index) for index in self._calls), completed]

    def _whole(self, index: int) -> ToolCall:
        block = self._calls[index]
        try:
            arguments = msgspec.json.decode(self._arguments[index] or "{}", type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ProviderError(FailureKind.PROTOCOL, "tool arguments are not JSON") from error
        return ToolCall(block.id, block.name, arguments)


def message_params(request: ChatRequest) -> list[MessageParam]:
    """The conversation in Anthropic's form."""
    return [
        UserMessageParam(role="user", content=m.content)
        if m.role == "user"
        else AssistantMessageParam(role="assistant", content=m.content)
        for m in request.messages
    ]


def tool_params(request: ChatRequest) -> list[ToolParam]:
    """The tools in Anthropic's form."""
    return [
        {"name": t.name, "description": t.description, "input_schema": dict(t.parameters)}
        for t in request.tools
    ]
