"""`GET /health` and `GET /ready`: which model is at work, and what was measured.

Strangers, monitors among them, learn that the service is alive and which models are set up; how
those fare, and the figures, need the scope `admin`.
"""

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app import __version__
from app.access.keys import KeyScope
from app.api.callers import Caller
from app.api.deps import AdmissionDep, CallerOrNoneDep, ClientDep, KnowledgeBaseDep
from app.api.errors import SETUP, problem
from app.llm.circuit_gate import CircuitState
from app.llm.ledger import HAIKU, LLAMA
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.provider import KeyState
from app.llm.targets import ModelTarget

router = APIRouter()

# The guide's texts, to the character.
_ACTIVE = {
    "primary": "Llama 4 Scout (109B MoE, 17B active - 92% cheaper, 22% faster)",
    "fallback": "Claude Haiku 4.5 (for errors & tool calling)",
    "routing": "Intelligent Router (Llama primary → Haiku fallback)",
    "cost_savings": "92% cheaper than Haiku ($0.20 vs $1-5 per 1M tokens)",
    "performance": "22% faster TTFT (~880ms), 50x context (10M tokens)",
    "status": "🦙 Llama 4 Scout ACTIVE",
}
_HAIKU_ONLY = "⚡ Haiku-only mode"
_NO_AI = "❌ No AI configured"
_NO_AI_NOW = "⏳ No AI for the moment"


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(
    request: Request,
    client: ClientDep,
    knowledge_base: KnowledgeBaseDep,
    admission: AdmissionDep,
    caller: CallerOrNoneDep,
) -> JSONResponse:
    """What the service is and does. Always 200 while it can answer; never calls a model.

    The scope `admin` is told more: of the keys, the circuits, the index and the costs.
    """
    alive = {
        "status": "closing" if admission.closing else "ok",
        "service": "zantara-backend",
        "features": {"ai": public_ai_state(client)},
    }
    if not _is_operator(caller):
        return JSONResponse(alive)
    stats = knowledge_base.stats()
    return JSONResponse(
        {
            **alive,
            "features": {"ai": ai_state(client)},
            "version": __version__,
            "uptime_s": round(time.monotonic() - request.state.started, 1),
            "knowledge": {
                "ready": knowledge_base.ready,
                # Without embedder or index the service works on, and finds less.
                "search": "whole" if knowledge_base.searches_by_meaning else "by words alone",
                "documents": stats.documents,
                "chunks": stats.chunks,
            },
            "providers": _providers(client),
            "measured": _measured(client),
        }
    )


@router.get("/ready", responses={503: {"description": "Not yet, or no longer."}})
async def ready(
    knowledge_base: KnowledgeBaseDep, admission: AdmissionDep, caller: CallerOrNoneDep
) -> Response:
    """200 while questions are answered from the knowledge base, 503 before and at the end."""
    if knowledge_base.ready and not admission.closing:
        return JSONResponse({"status": "ready"})
    detail = "the service is closing" if admission.closing else "the index is being built"
    if not _is_operator(caller):
        detail = "not ready; try again in 2 s"
    return problem(503, detail, headers={"Retry-After": "2"})


def _is_operator(caller: Caller | None) -> bool:
    return caller is not None and caller.may(KeyScope.ADMIN)


def public_ai_state(client: LlamaScoutClient) -> dict[str, str]:
    """The guide's object, in the guide's own texts: a model whose key is refused is not set up."""
    if _is_set_up(client.llama) and not client.force_haiku:
        return _ACTIVE
    if _is_set_up(client.haiku):
        return {"status": f"{_HAIKU_ONLY} (add OPENROUTER_API_KEY_LLAMA for Llama 4)"}
    return {"status": _NO_AI, "setup_required": SETUP}


def _is_set_up(target: ModelTarget | None) -> bool:
    refused = (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)
    return target is not None and target.circuit.key_state not in refused


def ai_state(client: LlamaScoutClient) -> dict[str, str]:
    """The guide's object for the state that keys, settings and circuits make."""
    not_llama = _why_not(client.llama, "OPENROUTER_API_KEY_LLAMA")
    if client.force_haiku:
        not_llama = "FORCE_HAIKU is set; unset it for Llama 4"
    if not_llama is None:
        return _ACTIVE
    not_haiku = _why_not(client.haiku, "ANTHROPIC_API_KEY")
    if not_haiku is None:
        return {"status": f"{_HAIKU_ONLY} ({not_llama})"}
    if client.is_available():
        return {"status": f"{_NO_AI_NOW} ({not_llama}; {not_haiku})"}
    if client.llama is None and client.haiku is None:
        return {"status": _NO_AI, "setup_required": SETUP}
    setup = "Set ANTHROPIC_API_KEY or unset FORCE_HAIKU" if client.force_haiku else SETUP
    return {"status": f"{_NO_AI} ({not_llama}; {not_haiku})", "setup_required": setup}


def _why_not(target: ModelTarget | None, variable: str) -> str | None:
    """Why this model is not at work, and what to do; None when it is."""
    name = "Llama 4" if variable == "OPENROUTER_API_KEY_LLAMA" else "Haiku"
    if target is None:
        return f"add {variable} for {name}"
    if target.circuit.key_state is KeyState.REJECTED:
        return f"{variable} was rejected; replace it for {name}"
    if target.circuit.key_state is KeyState.OUT_OF_CREDIT:
        return f"the credit of {variable} is spent; top it up for {name}"
    if target.circuit.state is CircuitState.OPEN:
        wait = round(target.circuit.retry_after_s)
        return f"{name}: circuit open after failures; it is tried again in {wait} s"
    return None


def _providers(client: LlamaScoutClient) -> dict[str, dict[str, str]]:
    return {
        target.ai: {
            "provider": target.provider.name,
            "model": target.provider.model,
            "key": target.circuit.key_state,
            "circuit": target.circuit.state,
        }
        for target in (client.llama, client.haiku)
        if target
    }


def _measured(client: LlamaScoutClient) -> dict[str, Any]:
    """Since the start of the process; dollars are of calls whose price is known."""
    ledger = client.ledger
    return {
        "calls": {ai: ledger.calls(ai) for ai in (LLAMA, HAIKU)},
        "fallback_rate": round(ledger.fallbacks / ledger.turns, 4) if ledger.turns else None,
        "median_ttft_ms": {ai: ledger.median_ttft_ms(ai) for ai in (LLAMA, HAIKU)},
        "cost_usd": round(ledger.cost_usd, 6),
        "saved_usd": round(ledger.saved_usd, 6),
        **client.metrics,
    }
