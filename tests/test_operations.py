"""What docs/operations.md promises an operator."""

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from app.errors import FailureKind
from app.llm.calls import HEDGED
from app.retrieval.knowledge_base import KnowledgeBase
from app.settings import ROOT
from tests.conftest import Serving
from tests.service import running, settings_for
from tests.upstream import Upstream, haiku_says, llama_says, status

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
QUESTION = "Quanto capitale per una PT PMA?"


def test_every_test_it_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", OPERATIONS)

    assert len(named) > 10
    for path, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), name


@pytest.mark.parametrize(
    ("settings", "request_fields", "reason"),
    [
        ({"openrouter_api_key_llama": None}, {}, "llama_not_configured"),
        ({"force_haiku": True}, {}, "force_haiku"),
        ({}, {"model": "haiku"}, None),
    ],
)
async def test_each_way_back_to_haiku_says_so_in_health_and_logs(
    settings: dict[str, Any],
    request_fields: dict[str, str],
    reason: str | None,
    upstream: Upstream,
    serving: Serving,
    capsys: pytest.CaptureFixture[str],
) -> None:
    upstream.haiku(haiku_says("Dieci miliardi."))
    async with serving(**settings) as client:
        answer = (await client.post("/chat", json={"message": QUESTION, **request_fields})).json()
        health = (await client.get("/health")).json()["features"]["ai"]["status"]
    log = capsys.readouterr().err

    assert (answer["ai_used"], answer["fallback_reason"]) == ("haiku", reason)
    assert answer["answer"] == "Dieci miliardi."
    assert f"`{health}`" in OPERATIONS
    assert "✅ [Haiku] Response completed" in log
    assert "PRIMARY AI" not in log
    assert ("Llama 4 Scout client initialized" in log) == (
        "openrouter_api_key_llama" not in settings
    )


async def test_without_haiku_a_request_for_it_is_answered_by_llama(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Dieci miliardi."))
    async with serving(anthropic_api_key=None) as client:
        answer = (await client.post("/chat", json={"message": QUESTION, "model": "haiku"})).json()

    assert (answer["ai_used"], answer["fallback_reason"]) == ("llama-scout", "haiku_not_configured")
    assert "`haiku_not_configured`" in OPERATIONS


async def test_a_fallback_says_its_kind_in_answer_and_log(
    upstream: Upstream, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.llama(status(429))
    upstream.haiku(haiku_says("Dieci miliardi."))
    async with serving() as client:
        answer = (await client.post("/chat", json={"message": QUESTION})).json()
    log = capsys.readouterr().err

    assert answer["fallback_reason"] == "rate_limit"
    failed = next(line for line in log.splitlines() if "⚠️  [Llama Scout] Failed: API error" in line)
    assert '"kind":"rate_limit"' in failed
    assert '"   Falling back to Haiku 4.5..."' in log
    assert "| `rate_limit` |" in OPERATIONS


def test_every_reason_to_fall_back_is_explained() -> None:
    section = OPERATIONS.partition("### Constant fallbacks")[2].partition("\n### ")[0]
    causes = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    explained = {kind for cause in causes for kind in re.findall(r"`(\w+)`", cause)}

    assert explained == {*FailureKind, HEDGED}


async def test_a_key_that_is_refused_stands_in_the_log(
    upstream: Upstream, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.openrouter_key = status(401)
    async with serving() as client, asyncio.timeout(30):
        while (await client.get("/health")).json()["providers"]["llama-scout"]["key"] == "unknown":
            await asyncio.sleep(0.01)
    log = capsys.readouterr().err

    text = "🔑 The key of llama-scout is not usable"
    assert '"key":"rejected"' in next(line for line in log.splitlines() if text in line)
    assert text in OPERATIONS


async def test_an_open_circuit_is_logged_with_the_kind(
    upstream: Upstream, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.llama(status(429, Retry_After="60"))
    upstream.haiku(haiku_says("Dieci miliardi."))
    async with serving() as client:
        await client.post("/chat", json={"message": QUESTION})
    log = capsys.readouterr().err

    text = "🔌 [Llama Scout] Circuit open after failures"
    assert '"kind":"rate_limit"' in next(line for line in log.splitlines() if text in line)
    assert text in OPERATIONS


async def test_until_the_index_is_built_the_service_is_alive_and_not_ready(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_finish = threading.Event()
    ingest = KnowledgeBase._ingest_bundled

    async def held(*arguments: Any) -> Any:
        await asyncio.to_thread(may_finish.wait)
        return await ingest(*arguments)

    monkeypatch.setattr(KnowledgeBase, "_ingest_bundled", held)
    async with running(settings_for(data_dir)) as client:
        try:
            health = await client.get("/health")
            ready = await client.get("/ready")
        finally:
            may_finish.set()

    assert (health.status_code, health.json()["knowledge"]["ready"]) == (200, False)
    assert (ready.status_code, ready.json()["detail"]) == (503, "the index is being built")
