"""The ledger's figures for Prometheus, on a port that the public listener does not serve.

Read off the ledger at each scrape, so that the two cannot disagree.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.llm.circuit import CircuitState
from app.llm.llama_scout_client import LlamaScoutClient
from app.retrieval.knowledge_base import KnowledgeBase

METRICS_HOST = "0.0.0.0"  # noqa: S104 - for the platform's scraper; the port is not published


class ServiceCollector(Collector):
    """What the router's ledger, its circuits and the index come to now."""

    def __init__(self, client: LlamaScoutClient, knowledge_base: KnowledgeBase) -> None:
        self._client = client
        self._knowledge_base = knowledge_base

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape, in the exporter's thread."""
        ledger = self._client.ledger
        calls = CounterMetricFamily(
            "zantara_calls", "Model calls, by how they ended.", labels=["ai", "outcome"]
        )
        for (ai, outcome), count in list(ledger.outcomes.items()):
            calls.add_metric([ai, outcome], count)
        yield calls
        yield CounterMetricFamily("zantara_turns", "Turns to be answered.", ledger.turns)
        yield CounterMetricFamily("zantara_fallbacks", "Turns Haiku took.", ledger.fallbacks)
        yield CounterMetricFamily("zantara_cost_usd", "US dollars spent.", ledger.cost_usd)
        # A gauge: an answer that cost more than on Haiku takes from it.
        yield GaugeMetricFamily("zantara_saved_usd", "US dollars saved.", ledger.saved_usd)
        circuit = GaugeMetricFamily(
            "zantara_circuit_open", "1 while a model is left alone.", labels=["ai"]
        )
        for side in (self._client.llama, self._client.haiku):
            if side:
                circuit.add_metric([side.ai], side.circuit.state is CircuitState.OPEN)
        yield circuit
        stats = self._knowledge_base.stats()
        yield GaugeMetricFamily("zantara_documents", "Documents indexed.", stats.documents)
        yield GaugeMetricFamily("zantara_chunks", "Chunks indexed.", stats.chunks)


@contextmanager
def exporting(
    port: int | None, client: LlamaScoutClient, knowledge_base: KnowledgeBase
) -> Iterator[None]:
    """Serve `/metrics` on `port` for the length of the block; without a port do nothing."""
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(ServiceCollector(client, knowledge_base))
    server, thread = start_http_server(port, METRICS_HOST, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
