"""The log lines of a call's outcome; the guide's own texts are among them."""

import structlog

from app.errors import FailureKind, ProviderError
from app.events import Finished
from app.llm.circuit import Permit
from app.llm.circuit_gate import CircuitState
from app.llm.ledger import HAIKU, LLAMA, SUCCESS, Purpose
from app.llm.targets import ModelTarget

logger = structlog.get_logger(__name__)

_NAMES: dict[str, str] = {LLAMA: "Llama Scout", HAIKU: "Haiku"}
_OURS_TO_MEND = {
    FailureKind.BAD_REQUEST,
    FailureKind.NOT_FOUND,
    FailureKind.CERTIFICATE,
    FailureKind.NO_DESCRIPTORS,
}


def log_success(ai: str, finished: Finished, *, purpose: Purpose) -> None:
    """Log an answer's model, tokens and cost, or those of a question's rewriting."""
    fields = {
        "model": finished.model,
        "input_tokens": finished.usage.input_tokens,
        "output_tokens": finished.usage.output_tokens,
        "ttft_ms": finished.ttft_ms and round(finished.ttft_ms, 1),
        "cost_usd": finished.cost_usd,
    }
    if purpose == "rewrite":
        logger.info("the question was rewritten for the search", ai=ai, **fields)
        return
    if ai == HAIKU:
        logger.info("✅ [Haiku] Response completed", **fields)
        return
    cost, saved = _dollars(finished.cost_usd), _dollars(finished.saved_usd)
    logger.info(f"✅ [Llama Scout] Success! Cost: {cost} (saved {saved} vs Haiku)", **fields)


def log_failure(ai: str, error: ProviderError) -> None:
    """Log a failed call; as an error where only the operator can mend it."""
    what = "API timeout" if error.kind.is_timeout else "API error"
    log = logger.error if error.kind in _OURS_TO_MEND else logger.warning
    log(
        f"⚠️  [{_NAMES[ai]}] Failed: {what}",
        kind=error.kind,
        status=error.status,
        detail=error.detail,
    )


def log_circuit_open(target: ModelTarget, permit: Permit, outcome: str) -> None:
    """Log that a call's outcome opened the circuit, with the kind and the wait."""
    circuit = target.circuit
    logger.warning(
        f"🔌 [{_NAMES[target.ai]}] Circuit open after failures",
        kind="slow" if outcome == SUCCESS else outcome,
        key=circuit.key_state,
        again_in_s=round(circuit.retry_after_s_for(permit.caller)) or None,
        for_all=circuit.state is CircuitState.OPEN,
    )


def _dollars(amount: float | None) -> str:
    return "unknown" if amount is None else f"${amount:.5f}"
