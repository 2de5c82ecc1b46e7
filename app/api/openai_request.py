"""OpenAI's chat completion request, and what of it the service takes."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from app.api.files import FileAddress, require_few
from app.api.openai_tools import ToolCallIn, ToolChoiceIn, ToolIn, chosen
from app.api.schemas import (
    FILES,
    MAX_ANSWER_CHARS,
    MAX_CHARS,
    MAX_MESSAGES,
    Text,
    clamp_tokens,
    says_something,
)
from app.events import Message, ToolResult
from app.llm.tools import MAX_CALLS, Toolbox
from app.llm.turn import DEFAULT_MAX_TOKENS
from app.media.decoder import Pictures, shown

MAX_TOOLS = 128
MAX_RESULT_CHARS = 100_000
"""Of what one tool returned."""


class TextPart(BaseModel):
    """A part of a message that says something."""

    type: Literal["text"] = Field(description="Which kind of part.")
    text: Text = Field(description="What was said.")


class FileUrl(BaseModel):
    """A file."""

    url: FileAddress = Field(description=FILES)


class ImagePart(BaseModel):
    """A part of a message that shows a picture."""

    type: Literal["image_url"] = Field(description="Which kind of part.")
    image_url: FileUrl = Field(description="The picture.")


class VideoPart(BaseModel):
    """A part of a message that shows a video, as OpenRouter's API has it."""

    type: Literal["video_url"] = Field(description="Which kind of part.")
    video_url: FileUrl = Field(description="The video.")


Part = Annotated[TextPart | ImagePart | VideoPart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(min_length=1, max_length=20, fail_fast=True)]


class CompletionMessage(BaseModel):
    """One message; an application's instructions come as `system` or `developer`."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(
        description="Who speaks."
    )
    content: Annotated[str, Field(max_length=MAX_RESULT_CHARS)] | Parts | None = Field(
        default=None, description="What was said, or what a tool returned."
    )
    tool_calls: list[ToolCallIn] | None = Field(
        fail_fast=True,
        default=None,
        max_length=MAX_CALLS,
        description="The tools that the assistant called.",
    )
    tool_call_id: str | None = Field(default=None, description="Of a tool's result: its call.")
    is_error: bool = Field(
        default=False, description="Of a tool's result: it failed. Not a field of OpenAI's own."
    )

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""

    @property
    def files(self) -> list[str]:
        """The files of what the message shows."""
        parts = self.content if isinstance(self.content, list) else []
        images = [part.image_url.url for part in parts if isinstance(part, ImagePart)]
        return images + [part.video_url.url for part in parts if isinstance(part, VideoPart)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.role == "tool":
            if self.tool_call_id is None:
                raise ValueError("a tool's result needs tool_call_id")
            return self
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only the assistant calls tools")
        if self.files and self.role != "user":
            raise ValueError("only the user shows pictures")
        if self.role != "assistant":
            says_something(self.text)
        if len(self.text) > MAX_CHARS:
            raise ValueError(f"content is longer than {MAX_CHARS} characters")
        return self


class StreamOptions(BaseModel):
    """What a stream tells beside the answer."""

    include_usage: bool = Field(
        default=False, description="One more chunk at the end, with the tokens."
    )


class PlainText(BaseModel):
    """The one form of answer there is."""

    type: Literal["text"] = Field(description="The one form there is.")


def _nothing(value: object) -> object:
    if value not in (None, [], {}, "", "none", "auto"):
        raise ValueError("is not supported by this service; leave it out")
    return value


Tokens = Annotated[int, Field(ge=1), AfterValidator(clamp_tokens)]
Unsupported = Annotated[Any, AfterValidator(_nothing)]


class CompletionIn(BaseModel):
    """OpenAI's request. Fields that are not named here make no difference to the answer."""

    model: Literal["zantara", "llama-scout", "haiku"] = Field(
        description="`zantara` answers from the knowledge base, the others as they are."
    )
    messages: list[CompletionMessage] = Field(
        fail_fast=True,
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The conversation; it ends in the question or in what tools returned.",
    )
    stream: bool = Field(default=False, description="Chunks instead of one object.")
    stream_options: StreamOptions | None = Field(
        default=None, description="What a stream tells beside the answer."
    )
    max_tokens: Tokens | None = Field(
        default=None, description="The answer's bound, in tokens; more than 8192 is taken as 8192."
    )
    max_completion_tokens: Tokens | None = Field(
        default=None, description="The same under its newer name; it goes first."
    )
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="For Llama only: Haiku's API refuses it."
    )
    n: Literal[1] | None = Field(default=None, description="One answer at a time.")
    tools: list[ToolIn] | None = Field(
        fail_fast=True,
        default=None,
        max_length=MAX_TOOLS,
        description="Answered by Haiku; yours to carry out.",
    )
    tool_choice: ToolChoiceIn | None = Field(
        default=None,
        description="Whether tools may, must or must not be called, or which one must.",
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="False: one call in an answer at the most."
    )
    functions: Unsupported = Field(default=None, description="Not supported; use `tools`.")
    stop: Unsupported = Field(default=None, description="Not supported.")
    response_format: PlainText | None = Field(
        default=None, description="Plain text is the one form there is."
    )

    continue_from: (
        Annotated[str, Field(max_length=MAX_ANSWER_CHARS), AfterValidator(says_something)] | None
    ) = Field(
        default=None,
        description="Not a field of OpenAI's own: the `answer_so_far` of a stream's error, with "
        "the conversation sent again. Haiku goes on from its last word; only what it adds is sent.",
    )

    def conversation(self, pictures: Pictures) -> tuple[Message, ...]:
        """What was said and shown, what tools were called and what those returned."""
        return tuple(_merged(self.messages, pictures))

    @property
    def all_files(self) -> list[str]:
        """The files of the request."""
        return [file for message in self.messages for file in message.files]

    def instructions(self) -> str | None:
        """What the application tells the model."""
        told = [m.text for m in self.messages if m.role in ("system", "developer")]
        return "\n\n".join(told) or None

    def toolbox(self) -> Toolbox:
        """The caller's tools, as the models' side takes them."""
        tools = [tool.function.as_tool() for tool in self.tools or ()]
        parallel = self.parallel_tool_calls is not False
        return chosen(tools, self.tool_choice or "auto", parallel=parallel)

    @property
    def most_tokens(self) -> int:
        """The bound of the answer."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.messages[-1].role not in ("user", "tool"):
            raise ValueError("the last of messages must be the user's question or a tool's result")
        if not any(message.role == "user" for message in self.messages):
            raise ValueError("messages hold no question of the user's")
        require_few(self.all_files)
        return self

    @model_validator(mode="after")
    def _resumes_a_stream(self) -> Self:
        if self.continue_from is not None and (not self.stream or self.tools):
            raise ValueError("continue_from needs stream: true, and no tools")
        return self

    @model_validator(mode="after")
    def _calls_are_answered(self) -> Self:
        waiting: set[str] = set()
        for n, message in enumerate(self.messages):
            if message.role == "tool":
                if message.tool_call_id not in waiting:
                    raise ValueError(f"messages.{n}.tool_call_id names no call that waits for it")
                waiting.remove(message.tool_call_id)
            elif waiting:
                raise ValueError(f"messages.{n} comes before the results of {sorted(waiting)}")
            waiting |= {call.id for call in message.tool_calls or ()}
        if waiting:
            raise ValueError(f"the results of the tool calls {sorted(waiting)} are missing")
        return self

    @model_validator(mode="after")
    def _tools_are_there(self) -> Self:
        self.toolbox()
        return self


def _merged(messages: Sequence[CompletionMessage], pictures: Pictures) -> Iterator[Message]:
    """Results that follow one another are one message; empty answers are left out."""
    results: list[ToolResult] = []
    for message in messages:
        if message.role == "tool":
            results.append(ToolResult(message.tool_call_id or "", message.text, message.is_error))
            continue
        if results:
            yield Message("user", "", tool_results=tuple(results))
            results = []
        calls = tuple(call.as_call() for call in message.tool_calls or ())
        # A front end keeps an answer that was stopped before its first word; no model takes one.
        if message.role in ("user", "assistant") and (calls or message.text.strip()):
            yield Message(
                message.role, message.text, calls, pictures=shown(message.files, pictures)
            )
    if results:
        yield Message("user", "", tool_results=tuple(results))
