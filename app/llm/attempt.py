"""One call of one model: timed, costed, logged, settled."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from app.errors import FailureKind, ProviderError
from app.events import AiName, Finished, LLMEvent, RouteChosen, TextDelta, Usage
from app.llm.circuit import Circuit
from app.llm.ledger import CANCELLED, HAIKU, LLAMA, SUCCESS, Attempt, Ledger
from app.llm.provider import CHARACTERS_PER_TOKEN, ChatRequest, Completed, Provider
from app.llm.timing import TimeLimits, timed

logger = structlog.stdlib.get_logger(__name__)

_OURS_TO_MEND = {FailureKind.BAD_REQUEST, FailureKind.NOT_FOUND, FailureKind.CERTIFICATE}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models, with what is known of its provider."""

    ai: AiName
    provider: Provider
    circuit: Circuit


async def attempt(
    side: Side,
    request: ChatRequest,
    *,
    ledger: Ledger,
    limits: TimeLimits,
    deadline: float,
    reason: str | None,
    whole: bool,
) -> AsyncGenerator[LLMEvent]:
    """Yield one model's answer; with `whole`, nothing of it before it is complete.

    The circuit must have admitted the call. Raises `ProviderError`.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    ttft_ms: float | None = None
    written = 0
    completed: Completed | None = None
    held_back: list[LLMEvent] = [
        RouteChosen(
            side.ai, side.provider.model, side.provider.name, reason, continued=request.continues
        )
    ]
    if side.ai == LLAMA:
        logger.info("🎯 [Llama Scout] Using PRIMARY AI", model=side.provider.model)
    outcome: str = CANCELLED
    try:
        stream = side.provider.stream(request)
        async with aclosing(
            timed(stream, limits, deadline, may_be_empty=request.continues)
        ) as events:
            async for event in events:
                if isinstance(event, Completed):
                    completed = event
                    break
                if ttft_ms is None:
                    ttft_ms = (clock() - started) * 1000
                if isinstance(event, TextDelta):
                    written += len(event.text)
                held_back.append(event)
                if not whole:
                    for waiting in held_back:
                        yield waiting
                    held_back.clear()
        outcome = SUCCESS
        side.circuit.succeeded()
    except ProviderError as error:
        outcome = error.kind
        side.circuit.failed(error)
        _log_failure(side.ai, error)
        raise
    finally:
        if outcome == CANCELLED:
            side.circuit.abandoned()
        finished = _finished(side, request, completed, written, ttft_ms, ledger)
        ledger.record(
            Attempt(
                ai=side.ai,
                outcome=outcome,
                cost_usd=finished.cost_usd if finished else None,
                saved_usd=finished.saved_usd if finished else None,
                ttft_ms=ttft_ms,
                fallback=side.ai == HAIKU and reason is not None,
            )
        )
    for waiting in held_back:
        yield waiting
    if finished is not None:
        _log_success(side.ai, finished)
        yield finished


def _finished(
    side: Side,
    request: ChatRequest,
    completed: Completed | None,
    written: int,
    ttft_ms: float | None,
    ledger: Ledger,
) -> Finished | None:
    if completed is None:
        return None
    usage = completed.usage or _estimated(request, written)
    cost, saved = ledger.cost(side.provider.name, completed.model, usage, completed.billed_usd)
    return Finished(completed.finish_reason, completed.model, usage, cost, saved, ttft_ms)


def _estimated(request: ChatRequest, written: int) -> Usage:
    read = len(request.system or "") + sum(len(m.content) for m in request.messages)
    return Usage(read // CHARACTERS_PER_TOKEN, written // CHARACTERS_PER_TOKEN, estimated=True)


def _log_success(ai: str, finished: Finished) -> None:
    fields = {
        "model": finished.model,
        "input_tokens": finished.usage.input_tokens,
        "output_tokens": finished.usage.output_tokens,
        "ttft_ms": finished.ttft_ms and round(finished.ttft_ms, 1),
        "cost_usd": finished.cost_usd,
    }
    if ai == HAIKU:
        logger.info("✅ [Haiku] Response completed", **fields)
        return
    cost, saved = _dollars(finished.cost_usd), _dollars(finished.saved_usd)
    logger.info(f"✅ [Llama Scout] Success! Cost: {cost} (saved {saved} vs Haiku)", **fields)


def _log_failure(ai: str, error: ProviderError) -> None:
    what = "API timeout" if error.kind.is_timeout else "API error"
    name = "Llama Scout" if ai == LLAMA else "Haiku"
    log = logger.error if error.kind in _OURS_TO_MEND else logger.warning
    log(f"⚠️  [{name}] Failed: {what}", kind=error.kind, status=error.status, detail=error.detail)


def _dollars(amount: float | None) -> str:
    return "unknown" if amount is None else f"${amount:.5f}"
