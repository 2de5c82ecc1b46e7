"""The console's data, and who is given it."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from app.api.callers import is_at_machine
from tests.conftest import Serving
from tests.service import stream_chat
from tests.upstream import Upstream, haiku_says, llama_says, status


async def test_the_state_tells_of_calls_and_fallbacks(serving: Serving, upstream: Upstream) -> None:
    upstream.llama(llama_says("Ten."), status(500, {"error": {"code": 500, "message": "x"}}))
    upstream.haiku(haiku_says("Ten."))
    async with serving() as client:
        for _ in range(2):
            await stream_chat(client, message="How much capital does a PT PMA need?")
        state = (await client.get("/console/state")).json()

    assert [(call["ai"], call["outcome"], call["fallback_kind"]) for call in state["calls"]] == [
        ("llama-scout", "success", None),
        ("llama-scout", "server", None),
        ("haiku", "success", "server"),
    ]
    assert state["fallback_kinds"] == {"server": 1}
    assert (state["turns"], state["fallbacks"], state["requests_under_way"]) == (2, 1, 0)
    assert [(model["ai"], model["under_way"]) for model in state["models"]] == [
        ("llama-scout", 0),
        ("haiku", 0),
    ]


async def test_spending_that_cannot_be_read_leaves_the_rest(
    serving: Serving, data_dir: Path
) -> None:
    (data_dir / "ledger.db").write_bytes(b"this is no database" * 500)
    async with serving() as client:
        state = await client.get("/console/state")

    assert state.status_code == 200
    assert state.json()["days"] is None
    assert state.json()["documents"] == 31


SPOKEN_FOR = (
    {"x-forwarded-for": "127.0.0.1"},
    {"fly-client-ip": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1"},
    {"host": "rebound.example"},
    {"host": "127.0.0.1.example:8080"},
)


async def test_what_came_through_a_proxy_or_by_another_name_is_refused(serving: Serving) -> None:
    async with serving() as client:
        for path in ("/console", "/console/state"):
            assert (await client.get(path)).status_code == 200
            for headers in SPOKEN_FOR:
                assert (await client.get(path, headers=headers)).status_code == 401, headers


@pytest.mark.parametrize(
    ("address", "at_machine"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("169.254.1.1", False),
        ("fdaa::1", False),
        ("testclient", False),
    ],
)
async def test_this_machine_is_told_from_others(address: str, at_machine: bool) -> None:
    async def told(request: Request) -> bool:
        return is_at_machine(request.scope)

    app = FastAPI()
    app.add_api_route("/", told)
    transport = httpx.ASGITransport(app, client=(address, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/")).json() is at_machine
