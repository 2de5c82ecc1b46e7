"""A caller's tools and their calls, in OpenAI's form."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, Field

from app.events import ToolCall
from app.llm.tools import MAX_ARGUMENT_CHARACTERS, Tool, Toolbox, parsed_arguments

MAX_SCHEMA_BYTES = 32_000
"""Of one tool's parameters, as JSON."""
MAX_DESCRIPTION_CHARS = 8_000

# Both as OpenAI and Anthropic allow them.
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
CallId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


def _object_schema(schema: dict[str, Any] | None) -> dict[str, Any]:
    if not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type", "object") != "object":
        raise ValueError('a tool takes an object: expected "type": "object"')
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"the schema is longer than {MAX_SCHEMA_BYTES} bytes")
    return {"type": "object", **schema}


def _json_object(arguments: str) -> str:
    parsed_arguments(arguments)
    return arguments


class FunctionIn(BaseModel):
    """What a tool is for, and what it takes."""

    name: Name = Field(description="The name by which the model calls it.")
    description: str = Field(
        default="",
        max_length=MAX_DESCRIPTION_CHARS,
        description="What it is for: the model decides by it.",
    )
    parameters: Annotated[dict[str, Any] | None, AfterValidator(_object_schema)] = Field(
        default=None, validate_default=True, description="A JSON Schema of an object."
    )

    def as_tool(self) -> Tool:
        """The tool, as the models' side takes it."""
        return Tool(self.name, self.description, self.parameters or {})


class ToolIn(BaseModel):
    """A tool of the caller's."""

    type: Literal["function"] = Field(description="The one kind there is.")
    function: FunctionIn = Field(description="The tool.")


class CalledFunction(BaseModel):
    """What was called, with which arguments."""

    name: Name = Field(description="The tool's name.")
    arguments: Annotated[
        str, Field(max_length=MAX_ARGUMENT_CHARACTERS), AfterValidator(_json_object)
    ] = Field(description="A JSON object, as text; empty: no arguments.")


class ToolCallIn(BaseModel):
    """A call that the assistant made earlier."""

    id: CallId = Field(description="As the answer gave it; its result names it.")
    type: Literal["function"] = Field(default="function", description="The one kind there is.")
    function: CalledFunction = Field(description="What was called.")

    def as_call(self) -> ToolCall:
        """The call, as the models' side takes it."""
        return ToolCall(self.id, self.function.name, parsed_arguments(self.function.arguments))


class NamedFunction(BaseModel):
    """A tool by its name."""

    name: Name = Field(description="The tool's name.")


class NamedChoice(BaseModel):
    """The one tool that is to be called."""

    type: Literal["function"] = Field(description="The one kind there is.")
    function: NamedFunction = Field(description="The tool that is to be called.")


ToolChoiceIn = Literal["auto", "none", "required"] | NamedChoice


def chosen(tools: Sequence[Tool], choice: ToolChoiceIn, *, parallel: bool) -> Toolbox:
    """The tools with the choice. Raises `ValueError` where it names what is not there."""
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise ValueError("two of tools have the same name")
    if isinstance(choice, NamedChoice):
        name = choice.function.name
        if name not in names:
            raise ValueError(f"tool_choice names {name}, which is not among tools")
        return Toolbox(tools, "tool", name, parallel)
    if choice == "required" and not tools:
        raise ValueError("tool_choice requires a call, but there are no tools")
    return Toolbox(tools, choice, None, parallel)
