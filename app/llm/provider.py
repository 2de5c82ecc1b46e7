"""What the router needs of a model's API, whichever service it is."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Protocol

import msgspec

from app.events import PICTURE_CHARACTERS, AiName, FinishReason, Message, TextDelta, ToolCall, Usage
from app.llm.tools import NO_TOOLS, Toolbox

CHARACTERS_PER_TOKEN = 4
"""For estimates only, where a provider reports no usage."""
SAFE_CHARACTERS_PER_TOKEN = 3
"""Indonesian takes a token for some three characters, and a window must not overflow."""
_FRAME_TOKENS = 32


def estimated_tokens(text: str) -> float:
    """Estimate the tokens of a text; a Chinese character, of three bytes, is one."""
    beyond_ascii = 0 if text.isascii() else len(text.encode("utf-8", "replace")) - len(text)
    return len(text) / CHARACTERS_PER_TOKEN + beyond_ascii / 2


class Prompt(msgspec.Struct, frozen=True):
    """What a model reads; the last of `messages` is the question."""

    messages: Sequence[Message]
    system: str | None = None


PromptFor = Callable[[AiName, int], Prompt]
"""Makes the prompt for one of the models, of at most that many tokens."""


class ChatRequest(msgspec.Struct, frozen=True):
    """One call of a model. `max_tokens` bounds the answer; `temperature` is 0 to 2 or unset.

    `prefix` is the part of the answer that the caller has; the last message is that without
    white space at its end, and the model continues it.
    """

    messages: Sequence[Message]
    system: str | None = None
    max_tokens: int = 2048
    temperature: float | None = None
    toolbox: Toolbox = NO_TOOLS
    prefix: str = ""

    @property
    def characters(self) -> int:
        """Length of all that the model reads."""
        messages = sum(message.characters for message in self.messages)
        return len(self.system or "") + self.toolbox.characters + messages

    @property
    def most_input_tokens(self) -> int:
        """An upper bound for any tokenizer: a token has a byte at least, a message its frame."""
        texts = [self.system or ""]
        texts += [f"{t.name}{t.description}{t.parameters}" for t in self.toolbox.tools]
        pictures = 0
        for message in self.messages:
            texts += [message.content, *(r.content for r in message.tool_results)]
            texts += [f"{call.name}{call.arguments}" for call in message.tool_calls]
            pictures += len(message.pictures)
        read = len("".join(texts).encode("utf-8", "replace")) + pictures * PICTURE_CHARACTERS
        return read + (len(texts) + 1) * _FRAME_TOKENS

    @property
    def estimated_tokens(self) -> int:
        """About what it takes of a window, the answer included."""
        return self.characters // CHARACTERS_PER_TOKEN + self.max_tokens


class AwaitingUsage(msgspec.Struct, frozen=True):
    """The answer is complete; the provider may wait a moment more for the usage.

    From here on no time limit makes the answer a broken one.
    """


class Completed(msgspec.Struct, frozen=True):
    """The model finished the answer."""

    finish_reason: FinishReason


MAX_TOKENS_BILLED = 1_000_000_000
MAX_USD_BILLED = 10_000.0
"""Far above any call's: usage over these, or below zero, is not believed."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS_BILLED)]
"""A number of tokens as a provider may give it."""
Dollars = Annotated[float, msgspec.Meta(ge=0, le=MAX_USD_BILLED)]
ModelName = Annotated[str, msgspec.Meta(max_length=200)]
"""A model as a provider may name it: it is priced, shown and counted by that name."""


@dataclass(slots=True)
class CallUsage:
    """What a call uses, as far as its provider reports it; valid after any outcome.

    Attributes:
        model: The model that answers.
        sent: Whether the request went out on a connection.
        lost_requests: Requests that a kept connection lost; each was sent again.
        usage: Tokens; None until reported, estimated while the report is of the start only.
        billed_usd: US dollars charged; None when not reported.
    """

    model: str
    sent: bool = False
    lost_requests: int = 0
    usage: Usage | None = None
    billed_usd: float | None = None


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A part of a tool call arrived: nothing to pass on yet, but not silence either."""


Content = TextDelta | ToolCallDelta | ToolCall | Completed
ProviderEvent = Content | AwaitingUsage


class KeyState(StrEnum):
    """What the provider reports about the service's key."""

    UNKNOWN = "unknown"
    VALID = "valid"
    REJECTED = "rejected"
    OUT_OF_CREDIT = "out_of_credit"


class Provider(Protocol):
    """A model behind an API."""

    @property
    def name(self) -> str:
        """The API's name, as in answers and metrics."""
        ...

    @property
    def model(self) -> str:
        """The configured model id."""
        ...

    async def load(self) -> None:
        """Load what the calls need, outside of the API's time limits."""
        ...

    def stream(self, request: ChatRequest, call_usage: CallUsage) -> AsyncGenerator[ProviderEvent]:
        """Yield content, then one `Completed` as the last event; fill in `call_usage` meanwhile.

        `load` comes first. Closing the generator closes the connection.

        Raises:
            ProviderError: For every failure of the API, and nothing else.
        """
        ...

    async def check_key(self) -> KeyState:
        """Ask, free of charge, whether the key is valid; UNKNOWN where there is no answer."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
