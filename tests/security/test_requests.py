"""Rows 10, 19, 21 and 23 of the security matrix: requests that nobody means well with."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import structlog

from app import protocol
from app.api.body_limit import MAX_BODY_BYTES
from app.retrieval.knowledge_base import KnowledgeBase
from tests.conftest import Serving
from tests.upstream import Upstream, llama_says

AS_JSON = {"content-type": "application/json"}
PATHS = ("/chat", "/v1/chat/completions", "/api/chat", "/search")
BODIES = {
    "100,000 deep": b'{"message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a huge integer": b'{"message": "KITAS?", "max_tokens": ' + b"9" * 900_000 + b"}",
    "a huge integer of the body's length": b"9" * MAX_BODY_BYTES,
    "NaN": b'{"message": "KITAS?", "temperature": NaN}',
    "NaN in a field that is not known": b'{"model": "zantara", "messages": [], "seed": NaN}',
    "infinity": b'{"message": "KITAS?", "temperature": -Infinity}',
    "infinity by its exponent": b'{"message": "KITAS?", "temperature": 1e999}',
    "a duplicate key": b'{"message": "KITAS?", "message": "KITAP?"}',
    "a duplicate key inside": b'{"messages": [{"role": "user", "role": "system"}]}',
    "a lone surrogate": rb'{"message": "KITAS \ud800?", "query": "\udc00"}',
    "surrogates in the wrong order": rb'{"message": "\udc00\ud800", "query": "\udc00\ud800"}',
    "NUL": rb'{"message": "KITAS\u0000?"}',
    "NUL after a backslash": rb'{"message": "KITAS\\\u0000?"}',
    "a raw NUL": b'{"message": "KITAS\x00?"}',
    "bytes that are no UTF-8": b'{"message": "\xff\xfe"}',
    "an overlong NUL": b'{"message": "\xc0\x80"}',
    "UTF-16": '{"message": "KITAS?"}'.encode("utf-16"),
    "nothing": b"",
}


async def test_row_10_json_that_readers_disagree_about_is_refused_at_once(
    serving: Serving,
) -> None:
    async with serving() as client:
        for path in PATHS:
            for name, body in BODIES.items():
                refused = await client.post(path, content=body, headers=AS_JSON)
                assert 400 <= refused.status_code < 500, (path, name)
                json.loads(refused.content)
            # Also where nothing looks at the field.
            for value in (b"NaN", b"-Infinity"):
                body = b'{"model": "zantara", "query": "KITAS?", "unknown": %b}' % value
                refused = await client.post(path, content=body, headers=AS_JSON)
                assert refused.status_code == 400, (path, value)
        # A backslash and the letters are text like any other.
        text = {"query": r"C:\u0000 KITAS"}
        assert (await client.post("/search", json=text)).status_code == 200


async def test_row_10_nul_in_a_path_a_parameter_or_a_field_is_refused(serving: Serving) -> None:
    async with serving() as client:
        for path in ("/documents/%00", "/documents/a%00b", "/%00"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/documents?collections=%00")).status_code == 422
        assert (await client.get("/documents?root=%00")).status_code == 200  # there is none
        for field in ("collection", "access"):
            answer = await client.post(
                "/documents", files={"file": ("a.md", b"# A\n\nB.\n")}, data={field: "a\0b"}
            )
            assert answer.status_code == 422, field


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions", "/search"])
async def test_row_19_a_forced_exception_tells_the_request_id_and_nothing_else(
    path: str, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("planted in /srv/secret.py")

    monkeypatch.setattr(KnowledgeBase, "search", crash)
    body: dict[str, Any] = {"message": "KITAS?"}
    if path == "/search":
        body = {"query": "KITAS?"}
    if path.startswith("/v1"):
        body = {"model": "zantara", "messages": [{"role": "user", "content": "KITAS?"}]}
    async with serving() as client:
        failed = await client.post(path, json=body)

    assert failed.status_code == 500
    for secret in ("planted", "secret.py", "RuntimeError", "Traceback", "app/"):
        assert secret not in failed.text
    told = failed.json()
    if path.startswith("/v1"):
        assert told["error"]["type"] == "server_error"
    else:
        assert re.fullmatch("[0-9a-f]{32}", told["request_id"])
        assert told["title"] == "Internal Server Error"


FORGED = (
    "KITAS?\r\n\r\nevent: done\r\ndata: {\"forged\": 1}\r\n\r\n\rdata: forged\r\r"
    "\u2028event: error\u2029\x85\x1b[2J\x1b[31m\n2026-11-24T00:00:00Z [error] forged\n"
)  # fmt: skip


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_row_21_line_breaks_and_terminal_codes_forge_neither_events_nor_records(
    log_format: str, serving: Serving, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.llama(llama_says(FORGED, "\revent: done\rdata: {}\r\r", "Fine."))
    async with serving(log_format=log_format) as client:
        body = {"message": FORGED, "stream": True}
        streamed = await client.post("/chat", json=body, headers={"X-Request-ID": "a\tb"})
        path = "/nowhere%0d%0aforged%1b%5b31m?x=%0aforged"
        await client.get(path, headers={"User-Agent": "\x1b[31m"})
        await client.post("/documents", files={"file": ("a\r\n\x1b[31mforged.md", b"# A\n")})
        # Whatever else of a stranger's is logged one day, by us or by a library.
        structlog.get_logger("app").warning(FORGED, detail=FORGED)
        logging.getLogger("library").warning("refused: %s", FORGED)
    log = capsys.readouterr().err

    # As the standard says: a line ends in CR, LF or both.
    lines = re.split("\r\n|\r|\n", streamed.text)
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event:")]
    assert [name for name in names if name != "delta"] == ["sources", "route", "done"]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data:")]
    assert len(data) == len(names)
    answer = "".join(json.loads(each).get("text", "") for each in data if each[0] == "{")
    assert "\x1b" not in log
    # A person's terminal breaks lines at more characters than what collects JSON.
    lines = log.split("\n") if log_format == "json" else log.splitlines()
    records = [line for line in lines if line]
    assert len(records) > 3
    if log_format == "json":
        assert all(isinstance(json.loads(line), dict) for line in records)
    else:
        assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z \[", line) for line in records)
        assert not [line for line in records if line.startswith("2026-11-24T00:00:00Z")]
    assert "Fine." in answer


@asynccontextmanager
async def connected(client: httpx.AsyncClient, said: bytes) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(said)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


SLOW = (
    b"",
    b"POST /chat HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 500\r\n\r\n{",
    b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
)


async def test_row_23_while_many_clients_are_slow_the_others_are_served(
    serving: Serving, upstream: Upstream
) -> None:
    upstream.llama(*[llama_says("Dieci miliardi.")] * 3)
    async with serving(max_concurrent_requests=2) as client, AsyncExitStack() as stack:
        for said in SLOW:
            for _ in range(40):
                await stack.enter_async_context(connected(client, said))
        for _ in range(3):
            answer = await client.post("/chat", json={"message": "Quanto capitale?"})
            assert (answer.status_code, answer.json()["answer"]) == (200, "Dieci miliardi.")


async def test_row_23_a_head_that_does_not_end_is_not_waited_for(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_LIMIT_S", 0.2)
    whole = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving() as client, AsyncExitStack() as stack, asyncio.timeout(30):
        for said in (SLOW[0], SLOW[1], whole + SLOW[1]):
            reader = await stack.enter_async_context(connected(client, said))
            answered = await reader.read()
            assert (b"200 OK" in answered) == (said.startswith(whole))
        assert (await client.get("/ready")).status_code == 200


@pytest.mark.parametrize(
    ("said", "more"),
    [(b"\r\n", b"\r\n"), (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")],
    ids=["an empty line", "the rest of a body that nobody reads"],
)
async def test_row_23_what_follows_an_answer_and_is_no_request_is_not_waited_for(
    said: bytes, more: bytes, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_LIMIT_S", 0.2)
    async with serving() as client, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n" + said)
        await reader.readuntil(b'{"status":"ready"}')
        writer.write(more)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
