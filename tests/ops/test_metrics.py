import re
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from app.chat.service import Search
from app.errors import FailureKind
from app.llm.ledger import MAX_MODEL_NAMES, OTHER_MODEL
from app.llm.provider import KeyState
from app.ops.metrics import CallMetrics
from app.ops.spending import spending
from tests.conftest import Serving
from tests.test_cli import free_port
from tests.upstream import Step, Upstream, Wire, haiku_says, llama_chunk, llama_says, status


def samples(scraped: str) -> dict[str, float]:
    """Every sample by its name and labels, the labels in the order of the alphabet."""
    found = {}
    for family in text_string_to_metric_families(scraped):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def buckets(figures: dict[str, float], name: str) -> set[float]:
    """The upper bounds that a histogram has."""
    bounds = (
        re.search(r'le="([^"]+)"', key) for key in figures if key.startswith(f"{name}_bucket")
    )
    return {float(bound[1]) for bound in bounds if bound}


async def test_what_prometheus_reads_is_what_the_ledger_holds(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Uno."), status(500))
    upstream.haiku(haiku_says("Due."))
    port = free_port()
    async with serving(metrics_port=port) as client, httpx.AsyncClient() as scraper:
        for _ in range(2):
            await client.post("/chat", json={"message": "Quanto capitale per una PT PMA?"})
        scraped = (await scraper.get(f"http://127.0.0.1:{port}/metrics")).text
        measured = (await client.get("/health")).json()["measured"]
        public = await client.get("/metrics")

    figures = samples(scraped)
    assert figures['zantara_calls_total{ai="llama-scout",outcome="success"}'] == 1
    assert figures['zantara_calls_total{ai="llama-scout",outcome="server"}'] == 1
    assert figures['zantara_calls_total{ai="haiku",outcome="success"}'] == 1
    assert figures["zantara_turns_total"] == 2
    assert figures['zantara_fallbacks_total{kind="server"}'] == measured["haiku_fallbacks"] == 1
    assert round(figures["zantara_cost_usd_total"], 6) == measured["cost_usd"] > 0
    assert round(figures["zantara_saved_usd"], 6) == measured["saved_usd"]
    assert figures['zantara_circuit_state{ai="haiku",state="closed"}'] == 1
    assert figures['zantara_circuit_state{ai="haiku",state="open"}'] == 0
    states = {
        state: figures[f'zantara_key_state{{ai="llama-scout",state="{state}"}}']
        for state in KeyState
    }
    assert sum(states.values()) == states[KeyState.UNKNOWN] + states[KeyState.VALID] == 1
    assert figures["zantara_index_ready"] == 1
    assert figures["zantara_documents"] == 31
    assert figures['zantara_retrieval_duration_seconds_count{degraded="false"}'] == 2
    assert public.status_code == 404


async def test_what_alerts_compare_is_served_from_the_start(serving: Serving) -> None:
    port = free_port()
    async with serving(metrics_port=port), httpx.AsyncClient() as scraper:
        figures = samples((await scraper.get(f"http://127.0.0.1:{port}/metrics")).text)

    assert figures["zantara_turns_total"] == 0
    assert figures["zantara_turns_unanswered_total"] == 0
    for ai in ("llama-scout", "haiku"):
        assert figures[f'zantara_calls_total{{ai="{ai}",outcome="success"}}'] == 0
    for kind in (*FailureKind, "hedged"):
        assert figures[f'zantara_fallbacks_total{{kind="{kind}"}}'] == 0
    assert figures['zantara_retrieval_duration_seconds_count{degraded="true"}'] == 0


async def test_calls_are_measured_under_the_conventions_names_and_buckets(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Uno."), status(429))
    upstream.haiku(haiku_says("Due."))
    port = free_port()
    async with serving(metrics_port=port) as client, httpx.AsyncClient() as scraper:
        answer, _ = [
            (await client.post("/chat", json={"message": "Quanto capitale per una PT PMA?"})).json()
            for _ in range(2)
        ]
        figures = samples((await scraper.get(f"http://127.0.0.1:{port}/metrics")).text)

    llama = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="openrouter",'
        'gen_ai_request_model="meta-llama/llama-4-scout",'
        'gen_ai_response_model="meta-llama/llama-4-scout"'
    )
    haiku = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",'
        'gen_ai_request_model="claude-haiku-4-5",'
        'gen_ai_response_model="claude-haiku-4-5-20251001"'
    )
    duration = "gen_ai_client_operation_duration_seconds"
    first_chunk = "gen_ai_client_operation_time_to_first_chunk_seconds"
    tokens = "gen_ai_client_token_usage"
    assert figures[f'{duration}_count{{error_type="",{llama}}}'] == 1
    assert figures[f'{duration}_count{{error_type="rate_limit",{llama}}}'] == 1
    assert figures[f'{duration}_count{{error_type="",{haiku}}}'] == 1
    assert figures[f"{first_chunk}_count{{{llama}}}"] == 1
    seconds_to_first = figures[f"{first_chunk}_sum{{{llama}}}"]
    assert seconds_to_first == pytest.approx(answer["ttft_ms"] / 1000, abs=0.0001)
    assert figures[f'{tokens}_sum{{{llama},gen_ai_token_type="input"}}'] == 500
    assert figures[f'{tokens}_sum{{{haiku},gen_ai_token_type="output"}}'] == 120
    # https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md
    seconds = {
        0.01,
        0.02,
        0.04,
        0.08,
        0.16,
        0.32,
        0.64,
        1.28,
        2.56,
        5.12,
        10.24,
        20.48,
        40.96,
        81.92,
    }
    sizes = {
        1,
        4,
        16,
        64,
        256,
        1024,
        4096,
        16384,
        65536,
        262144,
        1048576,
        4194304,
        16777216,
        67108864,
    }
    assert buckets(figures, duration) == buckets(figures, first_chunk) == seconds | {float("inf")}
    assert buckets(figures, tokens) == sizes | {float("inf")}


async def test_row_36_models_that_a_provider_makes_up_become_one_label_and_one_row(
    upstream: Upstream, serving: Serving, data_dir: Path
) -> None:
    def named(n: int) -> Step:
        async def step(wire: Wire) -> None:
            await wire.head()
            await wire.event({**llama_chunk("Ciao."), "model": f"made/up-{n}"})
            await wire.event(llama_chunk(finish="stop", model=f"made/up-{n}"))
            await wire.event("[DONE]")
            await wire.end()

        return step

    calls = 2 * MAX_MODEL_NAMES
    upstream.llama(*map(named, range(calls)))
    port = free_port()
    body = {"model": "llama-scout", "messages": [{"role": "user", "content": "Ciao"}]}
    async with serving(metrics_port=port) as client, httpx.AsyncClient() as scraper:
        answers = [await client.post("/v1/chat/completions", json=body) for _ in range(calls)]
        scraped = (await scraper.get(f"http://127.0.0.1:{port}/metrics")).text

    models = set(re.findall('gen_ai_response_model="([^"]+)"', scraped))
    rows = spending(data_dir, 1)
    assert answers[-1].json()["model"] == f"made/up-{calls - 1}"
    assert len(models) < MAX_MODEL_NAMES
    assert {row.model for row in rows} == models >= {OTHER_MODEL}
    assert sum(row.calls for row in rows) == calls


def test_a_search_that_found_by_words_alone_is_told_apart() -> None:
    registry = CollectorRegistry()
    CallMetrics(registry).searched(Search(duration_s=0.25, passages=3, degraded=True))

    name = "zantara_retrieval_duration_seconds_sum"
    assert registry.get_sample_value(name, {"degraded": "true"}) == 0.25
    assert registry.get_sample_value(name, {"degraded": "false"}) == 0
