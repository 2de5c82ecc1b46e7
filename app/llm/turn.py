"""Options of a call, and the state of a turn while its models are tried."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.errors import AnswerUnavailable, FailureKind, ProviderError
from app.events import Failed
from app.llm.attempt import Attempt
from app.llm.continuation import continuation
from app.llm.ledger import HAIKU
from app.llm.provider import SAFE_CHARACTERS_PER_TOKEN, ChatRequest, PromptFor
from app.llm.special_tokens import escape_special_tokens
from app.llm.targets import ModelChoice, ModelTarget
from app.llm.tools import NO_TOOLS, Toolbox

THE_REQUESTS_OWN = {
    FailureKind.BAD_REQUEST,
    FailureKind.CONTEXT_LENGTH,
    FailureKind.SPENDING_LIMIT,
}


DEFAULT_MAX_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How one answer is to be made.

    Attributes:
        model: The model that the caller chose.
        max_tokens: The most tokens of the answer.
        temperature: 0 to 2; None leaves it to the provider.
        buffered: Whether the text is yielded only once the answer is complete.
        prefix: The beginning of the answer, where the caller has it already.
    """

    model: ModelChoice = "llama-scout"
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    toolbox: Toolbox = NO_TOOLS
    buffered: bool = False
    prefix: str = ""


@dataclass
class TurnContext:
    """What the calls of one turn share.

    Attributes:
        deadline: The end of the turn's total limit, in the event loop's time.
        failed: Models whose auxiliary call failed at once: the answer does not call them
            while there is another.
        waited_s: Seconds that auxiliary calls waited in vain for a model's first content.
            They count towards its limit.
    """

    deadline: float
    model: ModelChoice = "auto"
    failed: dict[str, ProviderError] = field(default_factory=dict)
    waited_s: dict[str, float] = field(default_factory=dict)

    def note_failure(self, ai: str, error: ProviderError, limit_s: float) -> None:
        """Note that an auxiliary call of at most `limit_s` seconds failed without content."""
        if error.kind.is_timeout:
            self.waited_s[ai] = limit_s
        elif error.kind not in THE_REQUESTS_OWN | {FailureKind.CONTENT_FILTER}:
            self.failed[ai] = error


@dataclass
class RoutedCall:
    """The attempts at one answer.

    Attributes:
        targets: The models to try, in order.
        reason: Why the next model is called and not the first choice.
        emitted_text: The answer so far, its prefix included.
        failures: The last failure of each model, in the order of the models' first failures.
        called_at: When each model was called, in the event loop's time.
        attempts: The last attempt of each model.
        spoke_last: Whether the attempt that ended last had any text.
        waiting: The models that are still to be tried.
    """

    prompt_for: PromptFor
    options: CallOptions
    context: TurnContext
    targets: Sequence[ModelTarget]
    reason: str | None
    emitted_text: str = field(init=False)
    failures: dict[str, ProviderError] = field(default_factory=dict)
    called_at: dict[str, list[float]] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    spoke_last: bool = False
    waiting: deque[ModelTarget] = field(init=False)

    def __post_init__(self) -> None:
        """Start with the prefix, and with all models still to be tried."""
        self.emitted_text = self.options.prefix
        # No model follows the last one, so it may be called twice.
        self.waiting = deque([*self.targets, *self.targets[-1:]])

    def has_another(self, target: ModelTarget) -> bool:
        """Whether a model follows `target`."""
        return target is not self.targets[-1]

    def hedge_lost(self, ai: str) -> bool:
        """Whether the model's last attempt was closed because its hedge had content first."""
        return ai in self.attempts and self.attempts[ai].hedge_lost

    def request_for(self, target: ModelTarget) -> ChatRequest:
        """Return the request for the answer, or for the rest of it."""
        options, emitted = self.options, self.emitted_text
        other = (options.toolbox.characters + len(emitted)) // SAFE_CHARACTERS_PER_TOKEN
        tokens = target.context_tokens - options.max_tokens - other
        prompt = escape_special_tokens(self.prompt_for(target.ai, tokens))
        request = ChatRequest(
            prompt.messages,
            prompt.system,
            options.max_tokens,
            options.temperature,
            options.toolbox,
        )
        return continuation(request, emitted) if emitted else request

    @property
    def is_refused(self) -> bool:
        """Whether the conversation itself is why no text was emitted."""
        kinds = [failure.kind for failure in self.failures.values()]
        # A refused prompt is not sent to another model.
        own = kinds[-1:] == [FailureKind.CONTENT_FILTER] or set(kinds) <= THE_REQUESTS_OWN
        return bool(kinds) and not self.emitted_text and own

    def end(self) -> Failed:
        """Return the end of an answer that no model finished.

        Raises:
            AnswerUnavailable: No text was emitted.
            ProviderError: No text was emitted, and the conversation itself is at fault.
        """
        last = next(reversed(self.failures.values()), None)
        if last is not None and self.emitted_text:
            # Tool calls are no part of the text that a continuation has.
            has_haiku = any(target.ai == HAIKU for target in self.targets)
            resumable = has_haiku and not self.options.toolbox.tools
            return Failed(last.kind, last.detail, self.emitted_text, resumable=resumable)
        if last is not None and self.is_refused:
            raise last
        message = "no model could answer" if self.failures else "No AI configured"
        raise AnswerUnavailable(message, self.failures)
