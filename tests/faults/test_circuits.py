"""When a circuit opens: the rows on keys, credit, rate limits, recovery and slowness."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from app.llm.circuit import RATE_LIMIT_COOL_DOWN_S
from app.llm.circuit_gate import MAX_COOL_DOWN_S, CircuitState
from app.llm.failures import MAX_RETRY_AFTER_S
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.provider import KeyState
from tests.faults.breakages import LLAMA_API, answers, step
from tests.faults.conftest import QUESTION, Service, router
from tests.faults.matrix import PATIENT_S
from tests.service import running_inside, settings_for, until_ready
from tests.upstream import Step, Upstream, Wire, haiku_says, hang, llama_says, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMITED = {"error": {"code": 403, "message": "Key limit exceeded"}}


async def asked(client: LlamaScoutClient) -> str | None:
    """Why it was not Llama that answered."""
    return (await client.chat_async(QUESTION)).fallback_reason


def resets_in(seconds: float) -> str:
    """Counted from when the tests are collected, which may be many minutes before they run."""
    return str(round((time.time() + seconds) * 1000))


@pytest.mark.parametrize(
    ("first", "kind", "least_s", "most_s"),
    [
        # Until the key is seen to work, however long that takes.
        pytest.param(status(401), "authentication", 0, 0, id="8-401"),
        pytest.param(status(402, Retry_After="30"), "payment", 25, 30, id="9-402-30"),
        pytest.param(status(402), "payment", MAX_COOL_DOWN_S - 10, MAX_COOL_DOWN_S, id="10-402"),
        pytest.param(
            status(403, LIMITED, X_RateLimit_Reset=resets_in(3000)), "permission", 600, 3000,
            id="12-403-reset",
        ),
        pytest.param(status(429, Retry_After="30"), "rate_limit", 25, 30, id="15-429-30"),
        pytest.param(
            status(429), "rate_limit", 1, 2 * RATE_LIMIT_COOL_DOWN_S, id="16-429"
        ),
        pytest.param(
            status(429, {"error": {"code": 429, "metadata": {
                "headers": {"X-RateLimit-Reset": resets_in(3000)}}}}),
            "rate_limit", 600, 3000, id="16-429-reset",
        ),
        pytest.param(
            status(429, Retry_After="1000000000"), "rate_limit", 3000, MAX_RETRY_AFTER_S,
            id="17-enormous",
        ),
        pytest.param(
            status(429, Retry_After="soon"), "rate_limit", 1, 2 * RATE_LIMIT_COOL_DOWN_S,
            id="17-rubbish",
        ),
        pytest.param(status(503, Retry_After="20"), "overloaded", 15, 20, id="18-503-20"),
    ],
)  # fmt: skip
async def test_one_failure_is_enough_to_leave_a_provider_alone(
    first: Step,
    kind: str,
    least_s: float,
    most_s: float,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "authentication":
        monkeypatch.setattr(upstream, "openrouter_key", status(401))
    upstream.llama(first)
    upstream.haiku(haiku_says("Uno."), haiku_says("Due."))
    async with router(upstream) as client:
        assert await asked(client) == kind
        assert await asked(client) == "circuit_open"

        assert client.llama is not None
        circuit = client.llama.circuit
        assert least_s <= circuit.retry_after_s <= most_s
        # Calls that were not made are not in the books.
        assert client.ledger.calls("llama-scout") == 1

        circuit.key_checked(KeyState.VALID)
        assert (circuit.state is CircuitState.CLOSED) == (kind == "authentication")


@pytest.mark.parametrize("retry_after", ["-3", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_row_17_a_wait_that_is_over_lets_one_call_through(
    retry_after: str, upstream: Upstream
) -> None:
    upstream.llama(status(429, Retry_After=retry_after), llama_says("Llama."))
    upstream.haiku(haiku_says("Uno."))
    async with router(upstream) as client:
        assert await asked(client) == "rate_limit"
        assert await asked(client) is None


@pytest.mark.parametrize(("code", "kind"), [(422, "bad_request"), (413, "context_length")])
async def test_rows_6_and_7_the_requests_own_faults_do_not_count(
    code: int, kind: str, upstream: Upstream
) -> None:
    upstream.llama(*[step(answers(code), LLAMA_API)] * 8, llama_says("Sì."))
    upstream.haiku(*[haiku_says("Uno.")] * 8)
    async with router(upstream) as client:
        assert [await asked(client) for _ in range(8)] == [kind] * 8
        assert await asked(client) is None


async def test_row_8_health_says_that_the_key_was_rejected_until_it_is_seen_to_work(
    upstream: Upstream, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.llm.targets.KEY_RECHECK_S", 0.02)
    rejected = status(401, {"error": {"code": 401, "message": "No auth"}})
    valid, upstream.openrouter_key = upstream.openrouter_key, rejected
    upstream.haiku(haiku_says("Uno."))
    upstream.llama(llama_says("Llama."))
    try:
        settings = settings_for(data_dir, **upstream.settings)
        async with running_inside(settings) as (http, client):
            await until_ready(http)
            assert client.llama is not None
            async with asyncio.timeout(5):
                while client.llama.circuit.key_state is not KeyState.REJECTED:
                    await asyncio.sleep(0.005)
            health = (await http.get("/health")).json()
            first = await http.post("/chat", json={"message": QUESTION[0].content})

            upstream.openrouter_key = valid
            async with asyncio.timeout(5):
                while client.llama.circuit.state is not CircuitState.CLOSED:
                    await asyncio.sleep(0.005)
            second = await http.post("/chat", json={"message": QUESTION[0].content})
    finally:
        upstream.openrouter_key = valid

    assert health["providers"]["llama-scout"]["key"] == "rejected"
    assert health["providers"]["llama-scout"]["circuit"] == "open"
    assert "OPENROUTER_API_KEY_LLAMA was rejected" in health["features"]["ai"]["status"]
    assert first.json()["fallback_reason"] == "circuit_open"
    assert second.json()["ai_used"] == "llama-scout"


async def test_row_8_a_server_without_a_key_endpoint_is_tried_again(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.llm.targets.KEY_RECHECK_S", 0.02)
    monkeypatch.setattr(upstream, "openrouter_key", status(404))
    upstream.llama(status(401), llama_says("Llama."))
    upstream.haiku(haiku_says("Uno."))
    async with router(upstream) as client:
        assert await asked(client) == "authentication"
        assert client.llama is not None
        async with asyncio.timeout(5):
            while client.llama.circuit.state is not CircuitState.HALF_OPEN:
                await asyncio.sleep(0.005)
        assert await asked(client) is None


async def test_row_8_an_endpoint_that_is_forbidden_says_nothing_of_the_key(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "openrouter_key", status(403))
    monkeypatch.setattr(upstream, "anthropic_key", status(403))
    async with router(upstream) as client:
        for side in (client.llama, client.haiku):
            assert side is not None
            assert await side.provider.check_key() is KeyState.UNKNOWN


async def test_row_48_every_second_call_fails(upstream: Upstream) -> None:
    seen: list[CircuitState] = []
    upstream.llama(*[llama_says("Llama."), status(500)] * 5)
    upstream.haiku(*[haiku_says("Haiku.")] * 35)
    async with router(upstream) as client:
        assert client.llama is not None
        for _ in range(40):
            await asked(client)
            seen.append(client.llama.circuit.state)
        assert client.ledger.calls("llama-scout") == 10

    changes = sum(before is not after for before, after in pairwise(seen))
    assert changes == 1
    assert seen[-1] is CircuitState.OPEN


async def test_row_49_a_provider_that_recovers_meets_one_probe_and_no_herd(
    upstream: Upstream,
) -> None:
    probed, go_on = asyncio.Event(), asyncio.Event()

    async def probe(wire: Wire) -> None:
        probed.set()
        await go_on.wait()
        await llama_says("Guarito.")(wire)

    upstream.llama(status(429, Retry_After="0.1"), probe, *[llama_says("Llama.")] * 20)
    upstream.haiku(*[haiku_says("Haiku.")] * 20)
    async with router(upstream) as client:
        assert client.llama is not None
        assert await asked(client) == "rate_limit"
        async with asyncio.timeout(5):
            while client.llama.circuit.state is not CircuitState.HALF_OPEN:
                await asyncio.sleep(0.005)

        herd = [asyncio.create_task(asked(client)) for _ in range(20)]
        await probed.wait()
        async with asyncio.timeout(5):
            while sum(task.done() for task in herd) < 19:
                await asyncio.sleep(0.005)
        assert len(upstream.llama_calls) == 2
        go_on.set()
        reasons = await asyncio.gather(*herd)
        assert sorted(map(str, reasons)) == ["None", *["circuit_open"] * 19]

        assert [await asked(client) for _ in range(20)] == [None] * 20


async def test_row_50_answers_that_have_become_slow_open_it_too(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.llm.attempt.SLOW_FRACTION", 0.2 / PATIENT_S)

    async def slow(wire: Wire) -> None:
        await asyncio.sleep(0.3)
        await llama_says("Piano.")(wire)

    upstream.llama(*[slow] * 5)
    upstream.haiku(haiku_says("Haiku."))
    async with router(upstream, first_content_timeout_s=PATIENT_S) as client:
        first = [asyncio.create_task(asked(client)) for _ in range(5)]
        assert await asyncio.gather(*first) == [None] * 5
        assert await asked(client) == "circuit_open"


async def test_with_the_circuits_off_a_run_of_failures_does_not_keep_haiku_from_another_try(
    service: Service, upstream: Upstream
) -> None:
    for _ in range(8):
        upstream.llama(status(500))
        upstream.haiku(status(529), haiku_says("Eccomi."))
        assert (await service.client.chat_async(QUESTION)).text == "Eccomi."


@pytest.mark.parametrize("jump_s", [3600, -3600], ids=["forward", "back"])
async def test_row_62_a_jump_of_the_wall_clock_ends_no_answer_and_no_wait(
    jump_s: int, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time = time.time
    speaking = asyncio.Event()
    upstream.llama(
        llama_says("Prima ", "e dopo.", gate=speaking), hang, status(429, Retry_After="30")
    )
    upstream.haiku(haiku_says("Haiku."), haiku_says("Haiku."), haiku_says("Haiku."))
    async with router(upstream, first_content_timeout_s=1.0, idle_timeout_s=PATIENT_S) as client:
        in_mid_answer = asyncio.create_task(client.chat_async(QUESTION))
        async with asyncio.timeout(PATIENT_S):
            while not upstream.llama_calls:
                await asyncio.sleep(0.005)
        monkeypatch.setattr(time, "time", lambda: true_time() + jump_s)
        speaking.set()
        assert (await in_mid_answer).text == "Prima e dopo."

        async with asyncio.timeout(PATIENT_S):
            assert await asked(client) == "timeout_first_content"
        assert await asked(client) == "rate_limit"
        monkeypatch.setattr(time, "time", true_time)
        assert await asked(client) == "circuit_open"
