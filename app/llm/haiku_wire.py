"""Anthropic's message stream: bytes to our events.

The SDK's own event models are built without validation, so that a malformed
event surfaces as an `AttributeError` far away; decoding here is typed.
"""

from typing import Any

import msgspec

from app.errors import FailureKind, ProviderError
from app.events import FinishReason, TextDelta, Usage
from app.llm.failures import MALFORMED_JSON, failure_from_response
from app.llm.provider import CallUsage, Completed, ModelName, ProviderEvent, Tokens, ToolCallDelta
from app.llm.tools import ToolCallAccumulator

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
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None


class _Start(msgspec.Struct):
    model: ModelName
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

    def __init__(self, call_usage: CallUsage, *, tools_given: bool) -> None:
        self.stopped = False
        self._call_usage = call_usage
        self._started = False
        self._stop_reason: str | None = None
        self._calls = ToolCallAccumulator(allowed=tools_given)

    def take(self, data: bytes) -> TextDelta | ToolCallDelta | None:
        """Apply an event; return its content, if it has any.

        Raises `ProviderError` for an error event or a malformed one.
        """
        try:
            event = _decoder.decode(data)
        except MALFORMED_JSON as error:
            raise ProviderError(FailureKind.PROTOCOL, "a malformed event") from error
        if event.message is not None:
            if self._started:
                raise ProviderError(FailureKind.PROTOCOL, "a second message after the first")
            self._started = True
            self._call_usage.model = event.message.model
            self._take_usage(event.message.usage, so_far=True)
        self._take_usage(event.usage)
        if event.error is not None:
            raise failure_from_response(200, {}, event.error)
        self.stopped = self.stopped or event.type == "message_stop"
        if self._stop_reason is not None:
            return None  # the answer is complete: later content belongs to no answer
        if event.content_block is not None and event.content_block.type == "tool_use":
            self._calls.open(event.index, event.content_block.id, event.content_block.name)
            return ToolCallDelta()
        return self._take_delta(event.index, event.delta) if event.delta is not None else None

    def _take_usage(self, given: Any, *, so_far: bool = False) -> None:
        try:
            usage = msgspec.convert(given or {}, _Usage)
        except msgspec.ValidationError:
            return  # usage that cannot be read does not fail the answer
        # Cumulative, so the last one replaces; cache reads and writes are not in it.
        billed = self._call_usage.usage
        if usage.input_tokens is not None:
            read = (
                usage.input_tokens
                + (usage.cache_read_input_tokens or 0)
                + (usage.cache_creation_input_tokens or 0)
            )
            self._call_usage.usage = Usage(read, usage.output_tokens or 0, estimated=so_far)
        elif billed is not None and usage.output_tokens is not None:
            self._call_usage.usage = Usage(billed.input_tokens, usage.output_tokens)

    def _take_delta(self, index: int, delta: _Delta) -> TextDelta | ToolCallDelta | None:
        self._stop_reason = delta.stop_reason or self._stop_reason
        if delta.partial_json is not None:
            self._calls.append(index, delta.partial_json)
            return ToolCallDelta()
        return TextDelta(delta.text) if delta.text else None

    def closing_events(self) -> list[ProviderEvent]:
        """Return the complete tool calls and the closing event.

        Raises `ProviderError` when the stream was cut, refused, or ended on a
        reason that does not end an answer.
        """
        if not self.stopped:
            raise ProviderError(FailureKind.PROTOCOL, "the stream ended without message_stop")
        if self._stop_reason == "refusal":
            raise ProviderError(FailureKind.CONTENT_FILTER, "the model refused")
        if self._stop_reason not in _FINISH_REASONS:
            raise ProviderError(FailureKind.PROTOCOL, "no known stop reason")
        reason = _FINISH_REASONS[self._stop_reason]
        calls = self._calls.complete(cut_off=reason is FinishReason.LENGTH)
        return [*calls, Completed(reason)]
