"""The answer object, and the fold that makes it from a turn's events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, Field

from app.events import (
    AiName,
    Event,
    Failed,
    Finished,
    FinishReason,
    Passage,
    Retrieved,
    RouteChosen,
    TextDelta,
    ToolCall,
    ToolRan,
)


class Source(BaseModel):
    """A passage that the model was given, under the number it was told to cite it by."""

    n: int = Field(description="The number in the answer's square brackets, from 1.")
    document_id: str = Field(
        description="The document's id: `GET /documents/{id}` has the rest of it."
    )
    title: str = Field(description="The document's title.")
    section: str = Field(description="Title and headings above the passage.")
    page: int | None = Field(description="The page on which it begins, where there are pages.")
    last_page: int | None = Field(description="The page on which it ends.")
    uri: str | None = Field(description="Where the document was taken from, if it says so.")
    effective_date: str | None = Field(description="ISO date from which the document holds.")
    score: float = Field(description="Rank score of the search; comparable within one answer.")
    text: str = Field(description="The passage, as it stands in the document.")


class ToolUse(BaseModel):
    """One of the service's own tools, as the model used it."""

    id: str = Field(description="The call's, as the model gave it.")
    name: str = Field(description="The tool's name.")
    arguments: dict[str, Any] = Field(description="What the model asked it for.")
    ok: bool = Field(description="False: it failed, and the model was told so.")
    duration_ms: float = Field(description="How long it took, in milliseconds.")
    result: str = Field(description="What the model was told, shortened.")


class TokenUsage(BaseModel):
    """Tokens of the call that gave the answer; of all its steps where tools were used."""

    input_tokens: int = Field(description="Tokens that the model read.")
    output_tokens: int = Field(description="Tokens that the model wrote.")
    estimated: bool = Field(description="True when the provider did not report them.")


class AnswerFacts(BaseModel):
    """What is to be known of an answer beside its text: the last event of a stream."""

    ai_used: AiName = Field(
        description="Who answered; `extractive`: no model, the passages are quoted."
    )
    model: str = Field(description="The model's own name, as its provider gives it.")
    provider: str = Field(description="Whose API answered.")
    fallback_reason: str | None = Field(description="Why it was not the first choice.")
    finish_reason: FinishReason = Field(description="`length`: cut off at the token limit.")
    degraded: bool = Field(description="True when no model or only half of the search answered.")
    sources: list[Source] = Field(
        description="The passages that the model was given, in the order of their numbers."
    )
    used_rag: bool = Field(description="Whether passages stood behind the answer.")
    tools: list[ToolUse] = Field(description="The service's own tools that the model used.")
    usage: TokenUsage = Field(description="What the answer took.")
    cost_usd: float | None = Field(
        description="US dollars of the call that finished the answer, or of all steps where tools "
        "were used; null when no price is known."
    )
    saved_usd: float | None = Field(description="US dollars less than on Haiku.")
    ttft_ms: float | None = Field(description="Time to the model's first token.")
    latency_ms: float = Field(description="From the request to the whole answer, in milliseconds.")
    request_id: str = Field(
        description="Quote it when you report a fault; the header `x-request-id` has it too."
    )


class Answer(AnswerFacts):
    """The whole answer."""

    answer: str = Field(
        description="The answer in Markdown; `[1]` cites the source with that number."
    )


class AnswerFold:
    """Adds up a turn's events. `tool_calls` are the caller's to carry out."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.text: list[str] = []
        self.tool_calls: list[ToolCall] = []
        self.tools: list[ToolUse] = []
        self._retrieved = Retrieved(())
        self._route: RouteChosen | None = None
        self._finished: Finished | None = None

    def take(self, event: Event) -> None:
        """Take the next event of the turn."""
        match event:
            case TextDelta():
                self.text.append(event.text)
            case Retrieved():
                self._retrieved = event
                self.sources = [source(n, p) for n, p in enumerate(event.passages, 1)]
            case RouteChosen():
                self._route = event
            case Finished():
                self._finished = event
            case ToolRan():
                self.tools.append(tool_use(event))
                known = len(self.sources) + 1
                self.sources += [source(n, p) for n, p in enumerate(event.passages, known)]
            case ToolCall():
                self.tool_calls.append(event)
            case Failed():
                pass

    @classmethod
    async def of(cls, events: AsyncGenerator[Event]) -> "AnswerFold":
        """All of a turn, which is closed then. Raises as the events do."""
        fold = cls()
        async with aclosing(events):
            async for event in events:
                fold.take(event)
        return fold

    def answer(self, *, request_id: str, latency_ms: float) -> Answer:
        """The whole answer, once the turn has finished."""
        facts = self.facts(request_id=request_id, latency_ms=latency_ms)
        return Answer(answer="".join(self.text), **facts)

    def facts(self, *, request_id: str, latency_ms: float) -> dict[str, Any]:
        """The fields of `AnswerFacts`, for a stream, which has nobody check what is ours."""
        assert self._route is not None, "a turn that finished chose a route first"
        assert self._finished is not None, "asked for before the turn finished"
        route, finished = self._route, self._finished
        return {
            "ai_used": route.ai_used,
            "model": finished.model,
            "provider": route.provider,
            "fallback_reason": route.fallback_reason,
            "finish_reason": finished.finish_reason,
            "degraded": self._retrieved.degraded or route.ai_used == "extractive",
            "sources": [source.model_dump() for source in self.sources],
            "used_rag": bool(self.sources),
            "tools": [tool.model_dump() for tool in self.tools],
            "usage": {
                "input_tokens": finished.usage.input_tokens,
                "output_tokens": finished.usage.output_tokens,
                "estimated": finished.usage.estimated,
            },
            "cost_usd": _rounded(finished.cost_usd),
            "saved_usd": _rounded(finished.saved_usd),
            "ttft_ms": finished.ttft_ms and round(finished.ttft_ms, 1),
            "latency_ms": round(latency_ms, 1),
            "request_id": request_id,
        }


def tool_use(event: ToolRan) -> ToolUse:
    """A tool's end, as the caller is shown it."""
    return ToolUse(
        id=event.id,
        name=event.name,
        arguments=dict(event.arguments),
        ok=event.ok,
        duration_ms=round(event.duration_ms, 1),
        result=event.result,
    )


def source(n: int, passage: Passage) -> Source:
    """A passage under its citation number."""
    return Source(
        n=n,
        document_id=passage.document_id,
        title=passage.title,
        section=passage.section,
        page=passage.page,
        last_page=passage.last_page,
        uri=passage.uri,
        effective_date=passage.effective_date,
        score=round(passage.score, 6),
        text=passage.text,
    )


def _rounded(dollars: float | None) -> float | None:
    # A hundredth of the price of a token is noise of the arithmetic.
    return None if dollars is None else round(dollars, 9)
