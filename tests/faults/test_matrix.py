"""Every row of the matrix against the running service, over real sockets."""

from collections import Counter
from typing import Any

import pytest

from app.chat.extractive import _INTRODUCTIONS
from app.errors import FailureKind
from tests.faults.breakages import HAIKU_API, LLAMA_API, SAID, step
from tests.faults.conftest import Service, outcomes
from tests.faults.matrix import MATRIX, Fault, Models
from tests.faults.replies import (
    EXTRACTS,
    FALLS_BACK,
    GOES_ON,
    HAIKU_SAYS,
    HAIKU_SUCCEEDS,
    LLAMA_STARTS,
    LLAMA_SUCCEEDS,
    MARGIN_S,
    Reply,
    ask,
    check_no_secret,
    fails,
    told,
)
from tests.upstream import Upstream, haiku_says, status

pytestmark = pytest.mark.asyncio(loop_scope="session")


def cases(model: Models) -> list[Any]:
    """The rows that this model can fail by, streamed and not."""
    return [
        pytest.param(
            fault, streamed, id=f"{fault.row}-{fault.name}-{'streamed' if streamed else 'whole'}"
        )
        for fault in MATRIX
        if fault.breakage is not None and fault.of in (Models.BOTH, model)
        for streamed in (True, False)
    ]


@pytest.fixture(autouse=True)
def _shortest_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that another try always fits the first-content limit."""
    monkeypatch.setattr("random.uniform", lambda least, _: least / 10)


async def check_books(service: Service, upstream: Upstream, before: dict[str, Any]) -> None:
    """Calls started = outcomes = what the upstream saw; each costed once; no connection left."""
    await service.settled(upstream)
    assert len(service.entries) == len(upstream.calls)
    measured = (await service.http.get("/health")).json()["measured"]
    for ai, calls in (
        ("llama-scout", upstream.llama_calls),
        ("haiku", upstream.haiku_calls),
    ):
        assert measured["calls"][ai] - before["calls"][ai] == len(calls)
    cost = sum(entry.cost_usd or 0.0 for entry in service.entries)
    assert measured["cost_usd"] - before["cost_usd"] == pytest.approx(cost, abs=2e-6)
    succeeded = sum(entry.outcome == "success" for entry in service.entries)
    assert sum(e.fallback and e.outcome == "success" for e in service.entries) <= succeeded


async def measured_of(service: Service) -> dict[str, Any]:
    measured: dict[str, Any] = (await service.http.get("/health")).json()["measured"]
    return measured


def check_shown(reply: Reply, fault: Fault) -> None:
    """The fields that the matrix names."""
    for name, value in fault.shows.items():
        if isinstance(value, dict):
            assert reply.body[name].items() >= value.items()
        else:
            assert reply.body[name] == (pytest.approx(value) if name == "cost_usd" else value)


@pytest.mark.parametrize(("fault", "streamed"), cases(Models.LLAMA))
async def test_llama_fails(
    fault: Fault, streamed: bool, service: Service, upstream: Upstream
) -> None:
    assert fault.breakage is not None
    service.limit(fault.limits)
    before = await measured_of(service)
    upstream.llama(step(fault.breakage, LLAMA_API))
    continued = streamed and fault.after_content
    delivered = fault.kind is None
    if not (delivered or fault.refused):
        upstream.haiku(haiku_says(*(GOES_ON if continued else HAIKU_SAYS)))

    reply = await ask(service.http, streamed=streamed)

    assert reply.seconds < fault.until_s + MARGIN_S
    check_shown(reply, fault)
    check_no_secret(reply, service.logs)
    await check_books(service, upstream, before)
    lines = [("info", LLAMA_STARTS)]
    if fault.kind is None:
        assert (reply.status, reply.text) == (200, fault.says)
        assert (reply.body["ai_used"], reply.body["fallback_reason"]) == ("llama-scout", None)
        assert reply.names == ["sources", "route", "delta", "done"] * streamed
        assert outcomes(service.entries) == {("llama-scout", "success"): 1}
        assert told(service.logs) == [*lines, ("info", LLAMA_SUCCEEDS)]
        return
    lines.append(fails("Llama Scout", fault.kind))
    if fault.refused:
        if continued:
            assert reply.names == ["sources", "route", "delta", "error"]
            assert reply.body["answer_so_far"] == reply.text == SAID
        else:
            assert reply.status == 422
        assert reply.body["kind"] == fault.kind
        assert outcomes(service.entries) == {("llama-scout", fault.kind): 1}
        assert told(service.logs) == lines
        return
    assert reply.status == 200
    assert (reply.body["ai_used"], reply.body["fallback_reason"]) == ("haiku", fault.kind)
    assert reply.body["model"] == "claude-haiku-4-5-20251001"
    assert reply.body["degraded"] is False
    if continued:
        assert reply.names == ["sources", "route", "delta", "route", "delta", "done"]
        assert [route["continued"] for route in reply.routes] == [False, True]
        prefill = upstream.haiku_calls[0].json["messages"][-1]
        assert prefill["role"] == "assistant"
        assert reply.text.startswith(SAID)
        assert prefill["content"] == reply.text.removesuffix("".join(GOES_ON)).rstrip()
    else:
        assert reply.names == ["sources", "route", "delta", "done"] * streamed
        assert reply.text == "".join(HAIKU_SAYS)
    assert outcomes(service.entries) == Counter(
        {("llama-scout", fault.kind): 1, ("haiku", "success"): 1}
    )
    assert [entry.fallback for entry in service.entries] == [False, True]
    assert told(service.logs) == [*lines, ("warning", FALLS_BACK), ("info", HAIKU_SUCCEEDS)]


@pytest.mark.parametrize(("fault", "streamed"), cases(Models.HAIKU))
async def test_haiku_fails_with_llama_down(
    fault: Fault, streamed: bool, service: Service, upstream: Upstream
) -> None:
    assert fault.breakage is not None
    service.limit(fault.limits)
    before = await measured_of(service)
    broken_off = streamed and fault.after_content
    tries = 2 if fault.asked_again and not broken_off else 1
    upstream.llama(status(500))
    upstream.haiku(*[step(fault.breakage, HAIKU_API)] * tries)

    reply = await ask(service.http, streamed=streamed)

    assert reply.seconds < fault.until_s + MARGIN_S
    check_shown(reply, fault)
    check_no_secret(reply, service.logs)
    await check_books(service, upstream, before)
    lines = [
        ("info", LLAMA_STARTS),
        fails("Llama Scout", FailureKind.SERVER),
        ("warning", FALLS_BACK),
    ]
    assert outcomes(service.entries) == Counter(
        {("llama-scout", "server"): 1, ("haiku", fault.kind or "success"): tries}
    )
    if fault.kind is None:
        assert (reply.status, reply.text) == (200, fault.says)
        assert (reply.body["ai_used"], reply.body["fallback_reason"]) == ("haiku", "server")
        assert reply.names == ["sources", "route", "delta", "done"] * streamed
        assert told(service.logs) == [*lines, ("info", HAIKU_SUCCEEDS)]
        return
    lines += [fails("Haiku", fault.kind)] * tries
    if broken_off:
        assert reply.names == ["sources", "route", "delta", "error"]
        assert reply.body["kind"] == fault.kind
        assert reply.body["answer_so_far"] == reply.text
        assert reply.text.startswith(SAID)
    elif fault.refused:
        assert (reply.status, reply.body["kind"]) == (422, fault.kind)
    else:
        assert reply.status == 200
        assert reply.names == ["sources", "route", "delta", "done"] * streamed
        assert (reply.body["ai_used"], reply.body["degraded"]) == ("extractive", True)
        assert reply.body["fallback_reason"] == fault.kind
        assert reply.text.startswith(_INTRODUCTIONS["it"])
        assert SAID not in reply.text
        lines.append(("warning", EXTRACTS))
    assert told(service.logs) == lines
