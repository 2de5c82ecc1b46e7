"""Figures for Prometheus, on a port that the public listener does not serve.

Model calls under the names and buckets of OpenTelemetry's conventions for generative AI
(https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md),
written as Prometheus writes them: dots as underscores, units as suffixes. What the ledger
adds up is read off it at each scrape, so that the two cannot disagree.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.chat.service import ChatService, Search
from app.errors import ConfigurationError, FailureKind
from app.llm.calls import HEDGED
from app.llm.circuit_gate import CircuitState
from app.llm.ledger import SUCCESS, CallRecord
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.provider import KeyState
from app.net import is_private
from app.retrieval.knowledge_base import KnowledgeBase

DURATION_BUCKETS = tuple(0.01 * 2**power for power in range(14))
"""Seconds, 0.01 to 81.92: the conventions' for durations and the time to the first chunk."""
TOKEN_BUCKETS = tuple(float(4**power) for power in range(14))
"""1 to 67,108,864: the conventions' for token usage."""
# An index in memory answers within milliseconds; a busy machine takes a second.
RETRIEVAL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_CALL = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
)


class CallMetrics:
    """Histograms of model calls and searches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Model calls, to their end; error_type is empty for a whole answer.",
            (*_CALL, "error_type"),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._first_chunk = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Model calls, to their first content.",
            _CALL,
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of model calls.",
            (*_CALL, "gen_ai_token_type"),
            buckets=TOKEN_BUCKETS,
            registry=registry,
        )
        self._retrieval = Histogram(
            "zantara_retrieval_duration_seconds",
            "Searches of the knowledge base; degraded: only a part of it answered.",
            ("degraded",),
            buckets=RETRIEVAL_BUCKETS,
            registry=registry,
        )
        for degraded in ("false", "true"):
            self._retrieval.labels(degraded)

    def called(self, entry: CallRecord) -> None:
        """Count one model call."""
        call = ("chat", entry.provider, entry.asked_model, entry.model)
        error_type = "" if entry.outcome == SUCCESS else entry.outcome
        self._duration.labels(*call, error_type).observe(entry.duration_s)
        if entry.ttft_ms is not None:
            self._first_chunk.labels(*call).observe(entry.ttft_ms / 1000)
        if not entry.usage.estimated and (entry.usage.input_tokens or entry.usage.output_tokens):
            self._tokens.labels(*call, "input").observe(entry.usage.input_tokens)
            self._tokens.labels(*call, "output").observe(entry.usage.output_tokens)

    def searched(self, search: Search) -> None:
        """Count one search."""
        self._retrieval.labels(str(search.degraded).lower()).observe(search.duration_s)


class ServiceCollector(Collector):
    """What the router's ledger, its circuits and the index come to now."""

    def __init__(self, client: LlamaScoutClient, knowledge_base: KnowledgeBase) -> None:
        self._client = client
        self._knowledge_base = knowledge_base

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape, in the exporter's thread."""
        yield from self._ledger()
        yield from self._sides()
        stats = self._knowledge_base.stats()
        ready = self._knowledge_base.ready
        yield GaugeMetricFamily("zantara_index_ready", "1 once questions are looked up.", ready)
        yield GaugeMetricFamily("zantara_documents", "Documents indexed.", stats.documents)
        yield GaugeMetricFamily("zantara_chunks", "Chunks indexed.", stats.chunks)

    def _ledger(self) -> Iterator[Metric]:
        ledger = self._client.ledger
        calls = CounterMetricFamily(
            "zantara_calls", "Model calls, by how they ended.", labels=["ai", "outcome"]
        )
        # From the start on: what begins above 0 has no increase, and an alert does not see it.
        sides = (self._client.llama, self._client.haiku)
        counts: dict[tuple[str, str], int] = {(s.ai, SUCCESS): 0 for s in sides if s}
        counts.update(ledger.outcomes)
        for (ai, outcome), count in counts.items():
            calls.add_metric([ai, outcome], count)
        yield calls
        fallbacks = CounterMetricFamily(
            "zantara_fallbacks", "Turns that went on to Haiku, by why.", labels=["kind"]
        )
        for kind in (*FailureKind, HEDGED):
            fallbacks.add_metric([kind], ledger.fallback_kinds[kind])
        yield fallbacks
        asides = CounterMetricFamily(
            "zantara_rewriting_calls",
            "Model calls that rewrote a question for the search, by how they ended.",
            labels=["ai", "outcome"],
        )
        for (ai, outcome), count in list(ledger.auxiliary_outcomes.items()):
            asides.add_metric([ai, outcome], count)
        yield asides
        lost = CounterMetricFamily(
            "zantara_lost_requests",
            "Requests that a kept connection lost, each sent once more.",
            labels=["ai"],
        )
        for side in sides:
            if side:
                lost.add_metric([side.ai], ledger.lost_requests[side.ai])
        yield lost
        yield CounterMetricFamily("zantara_turns", "Turns to be answered.", ledger.turns)
        yield CounterMetricFamily(
            "zantara_turns_unanswered", "Turns that no model answered whole.", ledger.unanswered
        )
        yield CounterMetricFamily("zantara_cost_usd", "US dollars spent.", ledger.cost_usd)
        # A gauge: an answer that cost more than on Haiku takes from it.
        yield GaugeMetricFamily("zantara_saved_usd", "US dollars saved.", ledger.saved_usd)

    def _sides(self) -> Iterator[Metric]:
        circuit = GaugeMetricFamily(
            "zantara_circuit_state", "1 for the state it is in.", labels=["ai", "state"]
        )
        key = GaugeMetricFamily(
            "zantara_key_state", "1 for what is known of the key.", labels=["ai", "state"]
        )
        for side in (self._client.llama, self._client.haiku):
            if side:
                for state in CircuitState:
                    circuit.add_metric([side.ai, state], side.circuit.state is state)
                for known in KeyState:
                    key.add_metric([side.ai, known], side.circuit.key_state is known)
        yield circuit
        yield key


@contextmanager
def exporting(
    host: str,
    port: int,
    client: LlamaScoutClient,
    knowledge_base: KnowledgeBase,
    chat: ChatService,
) -> Iterator[None]:
    """Serve `/metrics` for the length of the block, to this machine and private networks alone.

    Raises `ConfigurationError`.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)  # memory, descriptors, the time of the start
    registry.register(ServiceCollector(client, knowledge_base))
    metrics = CallMetrics(registry)
    client.ledger.listeners.append(metrics.called)
    chat.search_listeners.append(metrics.searched)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigurationError(
            f"METRICS_PORT {port} cannot be listened on ({error.strerror}): name another"
        ) from error

    def is_neighbour(_: Any, peer: tuple[str, int]) -> bool:
        return is_private(peer[0])

    # Asked before a thread is begun for a connection, which lasts for as long as its peer likes,
    # and before anything is read or told, the server's version among it.
    server.verify_request = is_neighbour  # type: ignore[method-assign, assignment]  # the way in
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
