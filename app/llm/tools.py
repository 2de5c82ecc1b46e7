"""Tools that a model may ask to have run, and its calls while they come in piece by piece."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.errors import FailureKind, ProviderError
from app.events import ToolCall
from app.llm.failures import MALFORMED_JSON

MAX_CALLS = 128
"""Of tools, in one answer; a model that asks for more has lost its thread."""
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
class _Growing:
    id: str
    name: str
    arguments: str = ""


class ToolCallAccumulator:
    """The tool calls of one answer while it comes in, by their place in it."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self._calls: dict[int, _Growing] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def open(self, index: int, call_id: str, name: str) -> None:
        """A call begins, or more of its head is known. Raises `ProviderError`."""
        if not self._allowed:
            raise ProviderError(FailureKind.PROTOCOL, "a tool call, but no tool was given")
        call = self._calls.setdefault(index, _Growing("", ""))
        call.id, call.name = call_id or call.id, name or call.name
        if len(self._calls) > MAX_CALLS:
            raise ProviderError(FailureKind.PROTOCOL, f"more than {MAX_CALLS} tool calls")

    def grow(self, index: int, arguments: str) -> None:
        """More of a call's arguments. Raises `ProviderError`."""
        call = self._calls.get(index)
        if call is None:
            raise ProviderError(FailureKind.PROTOCOL, "arguments of a tool call never begun")
        call.arguments += arguments
        if len(call.arguments) > MAX_ARGUMENT_CHARACTERS:
            raise ProviderError(FailureKind.PROTOCOL, "tool arguments without an end")

    def whole(self, *, cut_off: bool) -> list[ToolCall]:
        """The calls in their order; where the answer was cut off, those that are complete.

        Raises `ProviderError` for arguments that are no JSON object.
        """
        calls = []
        for place, growing in sorted(self._calls.items()):
            try:
                arguments = parsed_arguments(growing.arguments)
            except ValueError as error:
                if cut_off:
                    continue
                raise ProviderError(FailureKind.PROTOCOL, f"tool arguments: {error}") from error
            calls.append(ToolCall(growing.id or f"call_{place}", growing.name, arguments))
        return calls


def parsed_arguments(text: str) -> dict[str, Any]:
    """A call's arguments, empty for an empty text. Raises `ValueError` for anything else."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}
    except MALFORMED_JSON as error:
        raise ValueError("expected a JSON object") from error
