"""OpenTelemetry traces: inside a request's span, the search and each model call.

FastAPI makes the request's span, and sends all of them where OTEL_EXPORTER_OTLP_ENDPOINT
says; without it the spans made here are the API's own no-ops. Spans hold names, numbers and
kinds of failure, never a question, an answer or a key.
"""

import time

from opentelemetry.trace import SpanKind, StatusCode, get_tracer
from opentelemetry.util.types import AttributeValue

from app.chat.service import Search
from app.llm.ledger import CANCELLED, SUCCESS, CallRecord

_tracer = get_tracer("zantara")


def trace_call(entry: CallRecord) -> None:
    """A span of a model call that has just ended."""
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": entry.provider,
        "gen_ai.request.model": entry.asked_model,
        "gen_ai.response.model": entry.model,
        "gen_ai.usage.input_tokens": entry.usage.input_tokens,
        "gen_ai.usage.output_tokens": entry.usage.output_tokens,
        "zantara.outcome": entry.outcome,
    }
    if entry.ttft_ms is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = entry.ttft_ms / 1000
    if entry.cost_usd is not None:
        attributes["zantara.cost_usd"] = entry.cost_usd
    if entry.reason is not None:
        attributes["zantara.fallback_reason"] = entry.reason
    failed = entry.outcome not in (SUCCESS, CANCELLED)
    if failed:
        attributes["error.type"] = entry.outcome
    name = f"chat {entry.asked_model}"
    _trace(name, SpanKind.CLIENT, entry.duration_s, attributes, failed=failed)


def trace_search(search: Search) -> None:
    """A span of a search that has just ended."""
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "retrieval",
        "zantara.passages": search.passages,
        "zantara.degraded": search.degraded,
    }
    _trace("retrieval", SpanKind.INTERNAL, search.duration_s, attributes, failed=search.degraded)


def _trace(
    name: str,
    kind: SpanKind,
    duration_s: float,
    attributes: dict[str, AttributeValue],
    *,
    failed: bool,
) -> None:
    now = time.time_ns()
    started = now - int(duration_s * 1e9)
    span = _tracer.start_span(name, kind=kind, attributes=attributes, start_time=started)
    if failed:
        span.set_status(StatusCode.ERROR)
    span.end(now)
