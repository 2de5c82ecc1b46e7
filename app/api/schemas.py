"""What callers may send, with its bounds."""

from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.api.files import Files, require_few
from app.chat.service import DEFAULT_TOP_K, Turn
from app.chat.service_tools import TOOL_NAMES, ToolName
from app.events import Message
from app.llm.targets import ModelChoice
from app.llm.turn import DEFAULT_MAX_TOKENS
from app.media.decoder import Pictures, shown
from app.retrieval.filters import SearchFilters

MAX_CHARS = 32_000
"""Of one message: some twenty pages."""
MAX_MESSAGES = 200
MAX_BODY_NAMES = 50
"""Of a request's JSON, and of each object in it whose names are known."""
CONVERSATION_ID = r"^[A-Za-z0-9_-]{16,100}$"
"""As long as it takes not to be guessed."""
MAX_TOKENS = 8192
"""More is clamped to this: an answer of over twenty pages is a mistake, not a wish."""


MAX_ANSWER_CHARS = MAX_TOKENS * 16
"""More than `MAX_TOKENS` come to in any language."""


def clamp_tokens(value: int) -> int:
    """At most `MAX_TOKENS`."""
    return min(value, MAX_TOKENS)


def says_something(value: str) -> str:
    """The text, unless it is blank."""
    if not value.strip():
        raise ValueError("is empty; send the question as text")
    return value


LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]
"""A document may declare any; those that do not are in one of the three."""

Text = Annotated[str, Field(max_length=MAX_CHARS), AfterValidator(says_something)]


class Body(BaseModel):
    """A request's JSON: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_names(cls, given: Any) -> Any:
        # Each unknown name would be an error of its own.
        if isinstance(given, dict) and len(given) > MAX_BODY_NAMES:
            raise ValueError(f"has {len(given)} names; at most {MAX_BODY_NAMES} are taken")
        return given


FILES = (
    "Pictures (PNG, JPEG, GIF, WebP) or videos (MP4, WebM, QuickTime) as data URLs in base64, each "
    "of 5 MB at the most, 8 in a request; or https addresses at a host of FILE_HOSTS. Of a video "
    "six frames are shown."
)


class MessageIn(Body):
    """One turn of the conversation."""

    role: Literal["user", "assistant"] = Field(
        description="System and tool turns are the service's own and are refused."
    )
    content: Text = Field(description="What was said.")
    files: Files = Field(default=[], description=FILES)

    @model_validator(mode="after")
    def _the_user_shows(self) -> Self:
        if self.files and self.role != "user":
            raise ValueError("only the user sends files")
        return self


class FiltersIn(Body):
    """Narrows the search; what is left out narrows nothing."""

    document_ids: list[Annotated[str, Field(max_length=500)]] = Field(
        default=[], max_length=100, description="Only these documents."
    )
    languages: list[LanguageCode] = Field(
        default=[], max_length=100, description="Only documents in these languages."
    )
    collections: list[Annotated[str, Field(max_length=100)]] = Field(
        default=[], max_length=100, description="Only documents of these collections."
    )
    effective_from: date | None = Field(
        default=None, description="Documents that hold from this date or a later one."
    )
    effective_to: date | None = Field(
        default=None, description="Documents that hold from this date or an earlier one."
    )
    include_superseded: bool = Field(
        default=False, description="Also documents that a newer one supersedes."
    )

    def as_filters(self) -> SearchFilters:
        """The filters as the search takes them."""
        return SearchFilters(
            document_ids=frozenset(self.document_ids),
            languages=frozenset(self.languages),
            collections=frozenset(self.collections),
            effective_from=self.effective_from,
            effective_to=self.effective_to,
            include_superseded=self.include_superseded,
        )


class TurnOptions(Body):
    """How a question is to be answered."""

    model: ModelChoice = Field(
        default="auto", description="Who is to answer; `auto`: Llama first, Haiku when it can't."
    )
    max_tokens: Annotated[int, Field(ge=1), AfterValidator(clamp_tokens)] = Field(
        default=DEFAULT_MAX_TOKENS,
        description="The answer's bound, in tokens; more than 8192 is taken as 8192.",
    )
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="For Llama only: Haiku's API refuses it."
    )
    top_k: int = Field(default=DEFAULT_TOP_K, ge=1, le=50, description="Passages at the most.")
    filters: FiltersIn = Field(default=FiltersIn(), description="Narrows what is searched.")
    tools: bool | list[ToolName] = Field(
        default=False,
        description="Let the model use the service's own tools, all or these: then Haiku answers.",
    )

    def turn_of(self, messages: tuple[Message, ...]) -> Turn:
        """The turn of this conversation with these options."""
        return Turn(
            messages=messages,
            model=self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            filters=self.filters.as_filters(),
            service_tools=self._service_tools(),
        )

    def _service_tools(self) -> tuple[ToolName, ...]:
        """The tools that may be used, each once."""
        if isinstance(self.tools, bool):
            return TOOL_NAMES if self.tools else ()
        return tuple(dict.fromkeys(self.tools))


class ChatIn(TurnOptions):
    """A question, alone (`message`) or with what was said before it (`messages`)."""

    message: Text | None = Field(default=None, description="The question, where it stands alone.")
    messages: list[MessageIn] | None = Field(
        fail_fast=True,
        default=None,
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The last is the question.",
    )
    files: Files = Field(default=[], description=f"Beside `message`. {FILES}")
    stream: bool = Field(
        default=False, description="Server-sent events instead of one JSON object."
    )

    continue_from: (
        Annotated[str, Field(max_length=MAX_ANSWER_CHARS), AfterValidator(says_something)] | None
    ) = Field(
        default=None,
        description="The `answer_so_far` of an `error` event, with the question sent again: "
        "Haiku goes on from its last word, and only what it adds is sent.",
    )

    @model_validator(mode="after")
    def _resumes_a_stream(self) -> Self:
        if self.continue_from is not None and (not self.stream or self.tools):
            raise ValueError("continue_from needs stream: true, and no tools")
        return self

    conversation_id: Annotated[str, Field(pattern=CONVERSATION_ID)] | None = Field(
        default=None,
        description="Of a conversation that the service is to keep, for `message` alone: a name "
        "of your choice that nobody guesses, such as a UUID. It is gone on with for as long as "
        "nobody leaves it for 30 days.",
    )

    @model_validator(mode="after")
    def _keeps_one_history(self) -> Self:
        if self.conversation_id and self.messages is not None:
            raise ValueError("conversation_id goes with message; messages bring their own history")
        return self

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.message is None) == (self.messages is None):
            raise ValueError("send either message or messages")
        if self.messages is not None and self.messages[-1].role != "user":
            raise ValueError("the last of messages must be the user's question")
        if self.files and self.message is None:
            raise ValueError("files stand beside message; in messages each has its own")
        require_few(self.all_files)
        return self

    @property
    def all_files(self) -> list[str]:
        """The files of the request."""
        earlier = [file for message in self.messages or () for file in message.files]
        return [*earlier, *self.files]

    def turn(self, pictures: Pictures) -> Turn:
        """The turn that this asks for; `pictures` are what became of `all_files`."""
        if self.message is not None:
            asked = Message("user", self.message, pictures=shown(self.files, pictures))
            turn = self.turn_of((asked,))
        else:
            said = (
                Message(m.role, m.content, pictures=shown(m.files, pictures))
                for m in self.messages or ()
            )
            turn = self.turn_of(tuple(said))
        return replace(turn, continue_from=self.continue_from or "")
