"""Tools that a model may call, and its calls while their deltas come in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.errors import FailureKind, ProviderError
from app.events import ToolCall
from app.llm.failures import MALFORMED_JSON

MAX_CALLS = 128
"""Tool calls in one answer; more are a malfunction of the model."""
MAX_ARGUMENT_CHARACTERS = 200_000
"""Of one call: more than the longest answer has."""


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may ask the caller to run; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class Toolbox(msgspec.Struct, frozen=True):
    """The tools of one call, and how the model may use them.

    `choice` is `auto`, `none`, `required` (at least one call), or `tool`: the one named
    `required_name`. `parallel` is whether one answer may hold several calls.
    """

    tools: Sequence[Tool] = ()
    choice: str = "auto"
    required_name: str | None = None
    parallel: bool = True

    @property
    def characters(self) -> int:
        """Length of all that a model reads of the tools."""
        return sum(len(t.name) + len(t.description) + len(str(t.parameters)) for t in self.tools)


NO_TOOLS = Toolbox()


@dataclass(slots=True)
class _PartialCall:
    id: str
    name: str
    arguments: str = ""


class ToolCallAccumulator:
    """The tool calls of one answer while it comes in, by their index."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self._calls: dict[int, _PartialCall] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def open(self, index: int, call_id: str, name: str) -> None:
        """Start a call, or add to its head. Raises `ProviderError`."""
        if not self._allowed:
            raise ProviderError(FailureKind.PROTOCOL, "a tool call, but no tool was given")
        call = self._calls.setdefault(index, _PartialCall("", ""))
        call.id, call.name = call_id or call.id, name or call.name
        if len(self._calls) > MAX_CALLS:
            raise ProviderError(FailureKind.PROTOCOL, f"more than {MAX_CALLS} tool calls")

    def append(self, index: int, arguments: str) -> None:
        """Add to a call's arguments. Raises `ProviderError`."""
        call = self._calls.get(index)
        if call is None:
            raise ProviderError(FailureKind.PROTOCOL, "arguments of a tool call never begun")
        call.arguments += arguments
        if len(call.arguments) > MAX_ARGUMENT_CHARACTERS:
            raise ProviderError(FailureKind.PROTOCOL, "tool arguments without an end")

    def complete(self, *, cut_off: bool) -> list[ToolCall]:
        """Return the calls in order; where the answer was cut off, the complete ones.

        Raises:
            ProviderError: The arguments of a call are not a JSON object.
        """
        calls = []
        for place, partial in sorted(self._calls.items()):
            try:
                arguments = parsed_arguments(partial.arguments)
            except ValueError as error:
                if cut_off:
                    continue
                raise ProviderError(FailureKind.PROTOCOL, f"tool arguments: {error}") from error
            calls.append(ToolCall(partial.id or f"call_{place}", partial.name, arguments))
        return calls


def parsed_arguments(text: str) -> dict[str, Any]:
    """Return a call's arguments, empty for an empty text. Raises `ValueError` for non-objects."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}
    except MALFORMED_JSON as error:
        raise ValueError("expected a JSON object") from error
