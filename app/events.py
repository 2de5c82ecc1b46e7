"""What flows through the service: messages in, one union of stream events out.

A turn is one sequence of events, streamed or not; a JSON answer is its fold.
In order: `Retrieved` once, `RouteChosen` (a second one, `continued`, when the
other model takes an answer up in the middle), any number of `TextDelta`,
`ToolCall` (the caller's to carry out) and `ToolRan` (the service's own, carried
out), then exactly one of `Finished` or `Failed`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

AiName = Literal["llama-scout", "haiku", "extractive"]
"""Who answers; `extractive` is nobody: passages, quoted."""

ChunkKind = Literal["body", "explanation"]
"""What a passage is of its document: `explanation` is a statute's PENJELASAN."""

Jurisdiction = Literal["national", "regional"]
"""How far a law reaches; None for what is no law."""


class ToolCall(msgspec.Struct, frozen=True):
    """A whole call of a tool; `arguments` is parsed JSON."""

    id: str
    name: str
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ToolResult(msgspec.Struct, frozen=True):
    """What came of a call, as the model is told it."""

    call_id: str
    content: str
    is_error: bool = False


class Picture(msgspec.Struct, frozen=True):
    """A JPEG that was decoded and made afresh here, in base64; `caption` where it has one."""

    base64: str
    caption: str = ""


PICTURE_CHARACTERS = 6_400
"""What a picture takes of a window: some 1,600 tokens at its largest (Anthropic's vision guide)."""


class Message(msgspec.Struct, frozen=True):
    """One turn of the conversation as the caller sent it.

    An assistant's may call tools beside what it says; then the next one is the user's, with
    one result for each call and nothing said.
    """

    role: Literal["user", "assistant"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    pictures: tuple[Picture, ...] = ()
    """Of the user's: what it shows beside what it says."""

    @property
    def asks(self) -> bool:
        """Whether the user says something here, rather than a tool."""
        return self.role == "user" and not self.tool_results

    @property
    def characters(self) -> int:
        """Length of all that a model reads of it."""
        calls = sum(len(c.name) + len(str(c.arguments)) for c in self.tool_calls)
        results = sum(len(r.content) for r in self.tool_results)
        return len(self.content) + calls + results + len(self.pictures) * PICTURE_CHARACTERS


class Passage(msgspec.Struct, frozen=True):
    """A piece of an ingested document, as it is given to the model and to the caller.

    `start` and `end` are character offsets in the document's text; `score` is
    the fused rank score, higher is better, comparable within one search only.
    """

    document_id: str
    title: str
    section: str
    text: str
    score: float
    start: int
    end: int
    language: str
    page: int | None = None
    uri: str | None = None
    effective_date: str | None = None
    """ISO date from which the document holds."""
    kind: ChunkKind = "body"
    jurisdiction: Jurisdiction | None = None
    last_page: int | None = None
    """The page on which it ends; `page` is where it begins."""
    dense_score: float = 0.0
    """The part of the score for being found by meaning."""
    lexical_score: float = 0.0
    """The part of the score for being found by words."""


class Section(msgspec.Struct, frozen=True):
    """The whole section that a passage stands in; offsets as a passage's."""

    start: int
    end: int
    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one model call; `estimated` when the provider did not report them."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False


class FinishReason(StrEnum):
    """Why the model stopped, in one vocabulary for both providers."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


class Retrieved(msgspec.Struct, frozen=True):
    """The passages that the model is given, in the order it is told to cite them."""

    passages: tuple[Passage, ...]
    degraded: bool = False
    """True when the knowledge base could not be searched as it should have been."""


class RouteChosen(msgspec.Struct, frozen=True):
    """Which model answers. `fallback_reason` is None when it was the first choice."""

    ai_used: AiName
    model: str
    provider: str
    fallback_reason: str | None = None
    continued: bool = False
    """True when this model goes on from what another one had already said."""


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer; never empty."""

    text: str


class ToolRan(msgspec.Struct, frozen=True):
    """One of the service's own tools, called by the model and ended; `result` in short.

    `passages` are those it found that the turn did not have yet: they continue the numbers.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    ok: bool
    duration_ms: float
    result: str
    passages: tuple[Passage, ...] = ()


class Finished(msgspec.Struct, frozen=True):
    """The answer is whole. Costs are US dollars, None when no price is known."""

    finish_reason: FinishReason
    model: str
    usage: Usage
    cost_usd: float | None
    saved_usd: float | None
    ttft_ms: float | None


class Failed(msgspec.Struct, frozen=True):
    """The answer broke off after content had been sent; Haiku may go on where `resumable`."""

    kind: str
    message: str
    partial_text: str
    resumable: bool = False

    @property
    def resume(self) -> Literal["continue_from"] | None:
        """The field of a request that takes `partial_text`, where it can be gone on with."""
        return "continue_from" if self.resumable else None


LLMEvent = RouteChosen | TextDelta | ToolCall | Finished | Failed
Event = Retrieved | ToolRan | LLMEvent
