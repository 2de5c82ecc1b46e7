"""What is known of one turn while its models are tried, and how it ends when none finished."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.errors import AnswerUnavailable, FailureKind, ProviderError
from app.events import Failed
from app.llm.attempt import Attempt, ModelTarget
from app.llm.continuation import continuation
from app.llm.ledger import HAIKU
from app.llm.provider import SAFE_CHARACTERS_PER_TOKEN, ChatRequest, PromptFor
from app.llm.special_tokens import escape_special_tokens
from app.llm.tools import Toolbox

THE_REQUESTS_OWN = {
    FailureKind.BAD_REQUEST,
    FailureKind.CONTEXT_LENGTH,
    FailureKind.SPENDING_LIMIT,
}


ModelChoice = Literal["auto", "llama-scout", "haiku"]


@dataclass
class TurnContext:
    """What the calls of one turn of a conversation share; `deadline` is in the loop's time."""

    deadline: float
    model: ModelChoice = "auto"
    """Who was asked for."""
    failed: dict[str, ProviderError] = field(default_factory=dict)
    """Models that failed at once when they were asked aside: the answer asks them no more."""
    waited_s: dict[str, float] = field(default_factory=dict)
    """For the first word of models asked aside, in vain: it is a part of their limit."""


@dataclass
class RoutedCall:
    """The calls for one answer. `said` is what the caller was sent."""

    prompt_for: PromptFor
    max_tokens: int
    temperature: float | None
    toolbox: Toolbox
    targets: Sequence[ModelTarget]
    """The models to try, in order."""
    context: TurnContext
    whole: bool
    said: str = ""
    failures: dict[str, ProviderError] = field(default_factory=dict)
    asked_at: dict[str, list[float]] = field(default_factory=dict)
    """When each model was called, in the loop's time."""
    attempts: dict[str, Attempt] = field(default_factory=dict)
    """The last call of each."""
    spoke_last: bool = False
    """Whether the call that ended last had said anything."""

    def hedge_lost(self, ai: str) -> bool:
        """Whether its last call was given up for another model's that spoke first."""
        return ai in self.attempts and self.attempts[ai].hedge_lost

    def request_for(self, target: ModelTarget) -> ChatRequest:
        """What to ask of one model: the answer, or the rest of it."""
        beside = (self.toolbox.characters + len(self.said)) // SAFE_CHARACTERS_PER_TOKEN
        tokens = target.context_tokens - self.max_tokens - beside
        prompt = escape_special_tokens(self.prompt_for(target.ai, tokens))
        request = ChatRequest(
            prompt.messages, prompt.system, self.max_tokens, self.temperature, self.toolbox
        )
        return continuation(request, self.said) if self.said else request

    @property
    def is_refused(self) -> bool:
        """Whether it is the conversation's own fault that nothing was said."""
        kinds = [failure.kind for failure in self.failures.values()]
        # A refused prompt is not shopped around.
        own = kinds[-1:] == [FailureKind.CONTENT_FILTER] or set(kinds) <= THE_REQUESTS_OWN
        return bool(kinds) and not self.said and own

    def end(self) -> Failed:
        """How a turn ends that no model finished. Raises where nothing had been said."""
        last = next(reversed(self.failures.values()), None)
        if last is not None and self.said:
            # Calls of tools are none of the words that it would go on from.
            goes_on = any(target.ai == HAIKU for target in self.targets) and not self.toolbox.tools
            return Failed(last.kind, last.detail, self.said, resumable=goes_on)
        if last is not None and self.is_refused:
            raise last
        message = "no model could answer" if self.failures else "No AI configured"
        raise AnswerUnavailable(message, self.failures)
