"""A complete answer, made from the router's events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from app.events import (
    AiName,
    Finished,
    FinishReason,
    LLMEvent,
    RouteChosen,
    TextDelta,
    ToolCall,
    Usage,
)


@dataclass(frozen=True, slots=True)
class ChatResult:
    """A complete answer. Costs are US dollars, None when unknown."""

    text: str
    ai_used: AiName
    model: str
    provider: str
    fallback_reason: str | None
    finish_reason: FinishReason
    usage: Usage
    cost_usd: float | None
    saved_usd: float | None
    ttft_ms: float | None
    tool_calls: list[ToolCall] = field(default_factory=list)

    @classmethod
    def from_events(cls, events: Sequence[LLMEvent]) -> Self:
        """Return the answer that a finished stream of events makes."""
        route = [event for event in events if isinstance(event, RouteChosen)][-1]
        finished = next(event for event in events if isinstance(event, Finished))
        return cls(
            text="".join(event.text for event in events if isinstance(event, TextDelta)),
            ai_used=route.ai_used,
            model=finished.model,
            provider=route.provider,
            fallback_reason=route.fallback_reason,
            finish_reason=finished.finish_reason,
            usage=finished.usage,
            cost_usd=finished.cost_usd,
            saved_usd=finished.saved_usd,
            ttft_ms=finished.ttft_ms,
            tool_calls=[event for event in events if isinstance(event, ToolCall)],
        )
