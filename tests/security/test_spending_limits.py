"""Row 15 of the security matrix: what a day may cost holds, whoever asks and however often."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.access.keys import KeyScope
from app.errors import FailureKind, ProviderError
from app.llm.budget import SERVICE, Budget, Payer, payer
from app.llm.ledger import Ledger
from app.llm.pricing import PriceList
from app.ops.spending import FILE_NAME, booked, recording
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.upstream import Step, Upstream, llama_says, llama_usage, status

# A thousand tokens at a thousand dollars a million: a call sets aside a dollar, and a little
# for the question.
PRICES = {"llama_price_input": 0.01, "llama_price_output": 1000.0}
QUESTION = {
    "model": "llama-scout",
    "messages": [{"role": "user", "content": "Ciao"}],
    "max_tokens": 1000,
}
LLAMA_ALONE = {"anthropic_api_key": None, **PRICES}


def a_dollar(gate: asyncio.Event | None = None) -> Step:
    return llama_says("Ciao.", " Come va?", usage=llama_usage(cost=1.0), gate=gate)


async def ask(client: httpx.AsyncClient, key: str | None = None) -> httpx.Response:
    headers = bearing(key) if key else {}
    return await client.post("/v1/chat/completions", json=QUESTION, headers=headers)


async def test_row_15_a_hundred_calls_at_once_stay_within_the_limit(
    serving: Serving, upstream: Upstream, data_dir: Path
) -> None:
    gate = asyncio.Event()
    upstream.llama(*[a_dollar(gate)] * 10)
    async with serving(daily_spending_limit_usd=10.5, **LLAMA_ALONE) as client:
        asking = [asyncio.create_task(ask(client)) for _ in range(100)]
        async with asyncio.timeout(60):
            while sum(task.done() for task in asking) < 90:
                await asyncio.sleep(0.01)
        assert len(upstream.llama_calls) == 10
        gate.set()
        answers = [await task for task in asking]
        after = await ask(client)
        spent = (await client.get("/health")).json()["measured"]["cost_usd"]
    # What was spent is known after a restart.
    async with serving(daily_spending_limit_usd=10.5, **LLAMA_ALONE) as client:
        again = await ask(client)

    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 90}
    assert spent == pytest.approx(10.0)
    for refused in (after, again, *(each for each in answers if each.status_code == 429)):
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "spending_limit")
        assert "the daily limit of the service, $10.5" in error["message"]
    assert booked(data_dir, today())[SERVICE] == pytest.approx(10.0, abs=0.001)


async def test_a_key_has_a_limit_of_its_own(
    serving: Serving, upstream: Upstream, data_dir: Path
) -> None:
    upstream.llama(*[a_dollar()] * 3)
    small = make_key(data_dir, "small", KeyScope.CHAT, daily_usd=2.5)
    other = make_key(data_dir, "other", KeyScope.CHAT)
    async with serving(**LLAMA_ALONE) as client:
        statuses = [(await ask(client, small)).status_code for _ in range(3)]
        refused = await ask(client, small)
        statuses.append((await ask(client, other)).status_code)

    assert statuses == [200, 200, 429, 200]
    assert "the daily limit of this key, $2.5" in refused.json()["error"]["message"]
    spent = booked(data_dir, today())
    assert {name: round(usd, 2) for name, usd in spent.items()} == {"": 3, "small": 2, "other": 1}


async def test_over_the_limit_neither_chat_nor_its_rewriting_calls_a_model(
    serving: Serving, upstream: Upstream
) -> None:
    limits = {"daily_spending_limit_usd": 0, "question_rewriting": True, **PRICES}
    async with serving(**limits) as client:
        for body in ({"message": "E il visto?"}, {"message": "E il visto?", "stream": True}):
            refused = await client.post("/chat", json=body)
            assert refused.status_code == 429
            assert refused.json()["kind"] == "spending_limit"
            assert int(refused.headers["retry-after"]) > 0
    assert not upstream.calls


async def test_a_failed_call_gives_back_what_it_had_set_aside(
    serving: Serving, upstream: Upstream, data_dir: Path
) -> None:
    upstream.llama(*[status(401)] * 2)
    limits = {"daily_spending_limit_usd": 1.5, "circuit_breaker": False}
    async with serving(**limits, **LLAMA_ALONE) as client:
        assert [(await ask(client)).status_code for _ in range(2)] == [503, 503]
    assert booked(data_dir, today())[SERVICE] == pytest.approx(0)


async def test_a_model_of_unknown_price_is_not_asked_under_a_limit(
    serving: Serving, upstream: Upstream
) -> None:
    limits = {"daily_spending_limit_usd": 1, "anthropic_api_key": None, "llama_model": "no/such"}
    async with serving(**limits) as client:
        refused = await ask(client)
    assert refused.status_code == 429
    assert "LLAMA_PRICE_INPUT" in refused.json()["error"]["message"]
    assert not upstream.calls


@pytest.fixture
def _paying() -> Iterator[None]:
    token = payer.set(Payer("web", 2.0))
    yield
    payer.reset(token)


@pytest.mark.usefixtures("_paying")
def test_what_was_set_aside_by_a_process_that_was_killed_counts_as_spent(tmp_path: Path) -> None:
    ledger = Ledger(PriceList(), "claude-haiku-4-5", 10.0)
    with recording(tmp_path, ledger):
        ledger.budget.reserve(1.5)
    after = Ledger(PriceList(), "claude-haiku-4-5", 10.0)
    with recording(tmp_path, after):
        assert (after.budget.spent_usd(), after.budget.spent_usd("web")) == (1.5, 1.5)
        with pytest.raises(ProviderError, match="this key"):
            after.budget.reserve(1.0)


def test_the_next_day_begins_at_nothing() -> None:
    now = datetime(2026, 11, 23, 23, 59, tzinfo=UTC)
    budget = Budget(1.0, lambda: now)
    late = budget.reserve(0.8)
    with pytest.raises(ProviderError) as refused:
        budget.reserve(0.8)
    assert refused.value.kind is FailureKind.SPENDING_LIMIT
    assert refused.value.retry_after_s == 60

    now = datetime(2026, 11, 24, 0, 1, tzinfo=UTC)
    budget.reserve(0.8)
    late.record_cost(0.1)  # is booked on the day on which it began
    assert budget.spent_usd() == 0.8


def test_a_ledger_that_cannot_be_read_stops_no_start(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 500)
    ledger = Ledger(PriceList(), "claude-haiku-4-5", 10.0)
    with recording(tmp_path, ledger):
        ledger.budget.reserve(1.0).record_cost(0.5)
    assert ledger.budget.spent_usd() == 0.5


def test_a_ledger_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute("CREATE TABLE spending (day TEXT)")
    assert booked(tmp_path, today()) == {}


def today() -> str:
    return datetime.now(UTC).date().isoformat()
