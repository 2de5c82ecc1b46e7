"""`/console`: how the service runs, as a page for its operators and as the JSON behind it."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Self

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from app.access.keys import KeyScope
from app.api.callers import needs
from app.api.deps import AdmissionDep, CallerOrNoneDep, ClientDep, KnowledgeBaseDep
from app.api.pages import page
from app.llm.circuit_gate import CircuitState
from app.llm.ledger import Ledger
from app.llm.provider import KeyState
from app.llm.targets import ModelTarget
from app.ops.recent_calls import RecentCall, RecentCalls
from app.ops.spending import Spending, spending

page_router = APIRouter(include_in_schema=False)
router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[needs(KeyScope.ADMIN)])

DAYS = 30
"""On which anything was spent."""

logger = structlog.get_logger(__name__)


class CallOut(BaseModel):
    """A model call that has ended. `ended` is in seconds since 1970."""

    ended: float
    ai: str
    model: str
    outcome: str
    fallback_kind: str | None = Field(description="Why Llama did not answer, where that is why.")
    aside: bool = Field(description="For the service's own use: a question rewritten.")
    ttft_ms: float | None
    duration_s: float
    cost_usd: float | None

    @classmethod
    def of(cls, call: RecentCall) -> Self:
        """The call as it is shown."""
        entry = call.entry
        return cls(
            ended=call.ended,
            ai=entry.ai,
            model=entry.model,
            outcome=entry.outcome,
            fallback_kind=entry.reason if entry.fallback else None,
            aside=entry.purpose != "answer",
            ttft_ms=entry.ttft_ms,
            duration_s=entry.duration_s,
            cost_usd=entry.cost_usd,
        )


class ModelOut(BaseModel):
    """One of the two models, since the start of the process."""

    ai: str
    model: str
    provider: str
    key: KeyState
    circuit: CircuitState
    retry_after_s: float
    under_way: int
    calls: int
    median_ttft_ms: float | None

    @classmethod
    def of(cls, target: ModelTarget, ledger: Ledger) -> Self:
        """The model as it is shown."""
        return cls(
            ai=target.ai,
            model=target.provider.model,
            provider=target.provider.name,
            key=target.circuit.key_state,
            circuit=target.circuit.state,
            retry_after_s=target.circuit.retry_after_s,
            under_way=ledger.in_flight[target.ai],
            calls=ledger.calls(target.ai),
            median_ttft_ms=ledger.median_ttft_ms(target.ai),
        )


class DayOut(BaseModel):
    """One day (UTC), both models together; dollars are of calls whose price is known."""

    day: str
    calls: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0


class StateOut(BaseModel):
    """The service now; sums are since the start of the process."""

    at: float = Field(description="Seconds since 1970.")
    uptime_s: float
    requests_under_way: int = Field(description="This one not counted.")
    turns: int
    fallbacks: int
    fallback_kinds: dict[str, int]
    cost_usd: float
    saved_usd: float
    models: list[ModelOut]
    calls: list[CallOut] = Field(description="The last ones, oldest first.")
    days: list[DayOut] | None = Field(description="Oldest first; null when they cannot be read.")
    index_ready: bool
    documents: int
    chunks: int


@page_router.api_route("/console", methods=["GET", "HEAD"])
async def console_page(caller: CallerOrNoneDep) -> FileResponse:
    """The page, without any data: a browser that opens it sends no key, so the page asks for it."""
    status = 200 if caller and caller.may(KeyScope.ADMIN) else 401
    return page("console.html", status)


@router.get("/state")
async def state(
    request: Request,
    response: Response,
    client: ClientDep,
    knowledge_base: KnowledgeBaseDep,
    admission: AdmissionDep,
) -> StateOut:
    """All that the page shows but the documents, which `/documents` lists."""
    response.headers["Cache-Control"] = "no-store"
    ledger, stats = client.ledger, knowledge_base.stats()
    recent: RecentCalls = request.state.recent_calls
    return StateOut(
        at=time.time(),
        uptime_s=time.monotonic() - request.state.started,
        requests_under_way=admission.under_way - 1,
        turns=ledger.turns,
        fallbacks=ledger.fallbacks,
        fallback_kinds=dict(ledger.fallback_kinds),
        cost_usd=ledger.cost_usd,
        saved_usd=ledger.saved_usd,
        models=[ModelOut.of(target, ledger) for target in (client.llama, client.haiku) if target],
        calls=[CallOut.of(call) for call in recent.calls],
        days=await asyncio.to_thread(_days, request.state.data_dir),
        index_ready=knowledge_base.ready,
        documents=stats.documents,
        chunks=stats.chunks,
    )


def _days(data_dir: Path) -> list[DayOut] | None:
    try:
        rows = spending(data_dir, DAYS)
    except sqlite3.Error as error:
        logger.warning("what was spent cannot be read", reason=str(error))
        return None
    days: dict[str, DayOut] = {}
    for row in rows:
        _add(days.setdefault(row.day, DayOut(day=row.day)), row)
    return list(days.values())


def _add(day: DayOut, row: Spending) -> None:
    day.calls += row.calls
    day.cost_usd += row.cost_usd
    day.saved_usd += row.saved_usd
