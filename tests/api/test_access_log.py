"""The log's line for each request."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from app.main import create_app
from app.retrieval.knowledge_base import KnowledgeBase
from app.server import server_config
from tests.conftest import Serving
from tests.service import settings_for
from tests.upstream import Upstream, Wire, llama_chunk, llama_says

QUESTION = {"message": "Quanto capitale per una PT PMA?", "stream": True}


def requests_in(log: str) -> list[dict[str, Any]]:
    """What the log says of requests but those that wait for the start."""
    records = [json.loads(line) for line in log.splitlines()]
    return [r for r in records if "duration_ms" in r and r["event"] != "GET /ready"]


async def test_a_request_has_one_line_that_says_how_it_ended_and_not_what_was_asked(
    upstream: Upstream, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.llama(llama_says("Dieci miliardi."))
    async with serving() as client:
        answered = await client.post("/chat", json=QUESTION)
        missing = await client.get("/nowhere?token=secret")
        mistaken = await client.get("/zantara-Secret_of-a-key/chat")
    log = capsys.readouterr().err

    told = {
        record["event"]: (record["status"], record["request_id"], record["client"])
        for record in requests_in(log)
    }
    assert told == {
        "POST /chat": (200, answered.headers["x-request-id"], "127.0.0.1"),
        "GET /nowhere": (404, missing.headers["x-request-id"], "127.0.0.1"),
        "GET /zantara-…/chat": (404, mistaken.headers["x-request-id"], "127.0.0.1"),
    }
    assert len(requests_in(log)) == 3
    assert "secret" not in log.lower()


async def test_no_line_is_written_before_an_answers_end(
    upstream: Upstream, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    going_on = asyncio.Event()

    async def in_two_parts(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Dieci "))
        await going_on.wait()
        await wire.event(llama_chunk("miliardi.", "stop"))
        await wire.event("[DONE]")
        await wire.end()

    upstream.llama(in_two_parts)
    async with serving() as client, client.stream("POST", "/chat", json=QUESTION) as response:
        lines = response.aiter_lines()
        while "Dieci" not in await anext(lines):
            pass
        log_at_the_first_words = capsys.readouterr().err
        going_on.set()
        done = json.loads([line async for line in lines if '"latency_ms"' in line][-1][5:])

    assert not requests_in(log_at_the_first_words)
    (record,) = requests_in(capsys.readouterr().err)
    assert record["duration_ms"] >= done["latency_ms"]


@pytest.mark.parametrize(("begun", "status"), [(True, 200), (False, 499)])
async def test_a_client_that_leaves_has_its_line_too(
    begun: bool,
    status: int,
    upstream: Upstream,
    serving: Serving,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reached = asyncio.Event()

    async def hanging(wire: Wire) -> None:
        await wire.head()
        if begun:
            await wire.event(llama_chunk("Dieci "))
        reached.set()
        await wire.hang()

    upstream.llama(hanging)
    async with serving() as client:
        async with httpx.AsyncClient(base_url=client.base_url) as leaving:
            asking = asyncio.create_task(read_first_line(leaving))
            await reached.wait()
            if begun:
                await asking
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await upstream.llama_calls[0].closed.wait()

    (record,) = requests_in(capsys.readouterr().err)
    assert (record["event"], record["status"]) == ("POST /chat", status)


async def test_who_comes_over_a_unix_socket_has_no_address(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(data_dir)
    path = str(tmp_path / "socket")
    config = server_config(create_app(settings), settings)
    config.uds = path
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the service did not start"
        await asyncio.sleep(0.005)
    transport = httpx.AsyncHTTPTransport(uds=path)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/health")).status_code == 200
    server.should_exit = True
    await serving

    (record,) = requests_in(capsys.readouterr().err)
    assert (record["event"], record["client"]) == ("GET /health", None)


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions", "/documents"])
async def test_a_client_that_leaves_while_it_sends_is_not_taken_for_one_that_sent_rubbish(
    path: str, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving() as client:
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        content_type = (
            "multipart/form-data; boundary=a" if path == "/documents" else "application/json"
        )
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\n"
            "content-length: 100\r\n\r\n--a\r\n".encode()
        )
        writer.close()
        log = ""
        async with asyncio.timeout(10):
            while not requests_in(log):
                await asyncio.sleep(0)
                log += capsys.readouterr().err

    (record,) = requests_in(log)
    assert (record["event"], record["status"]) == (f"POST {path}", 499)


async def test_a_crash_is_told_as_the_500_that_the_caller_has(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(KnowledgeBase, "search", crash)
    async with serving() as client:
        assert (await client.post("/search", json={"query": "KITAS?"})).status_code == 500

    (record,) = requests_in(capsys.readouterr().err)
    assert (record["event"], record["status"]) == ("POST /search", 500)


async def test_one_that_would_speak_another_protocol_has_the_line_of_any_other(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving() as client:
        handshake = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        key = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
        answer = await client.get("/chat?token=secret", headers={**handshake, **key})
        assert answer.status_code == 405
    log = capsys.readouterr().err

    (record,) = requests_in(log)
    assert (record["event"], record["status"]) == ("GET /chat", 405)
    assert "secret" not in log
    assert "pgrade" not in log


async def read_first_line(client: httpx.AsyncClient) -> None:
    """Of an answer, and hang up."""
    async with client.stream("POST", "/chat", json=QUESTION) as response:
        await anext(response.aiter_lines())
