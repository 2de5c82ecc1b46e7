"""Row 63: a service that may hold only so many files and connections open."""

import asyncio
import json
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import pytest_asyncio

from app.ops.descriptors import OWN, PER_REQUEST
from tests.test_cli import ZANTARA, environment, free_port, served
from tests.upstream import Upstream, Wire, haiku_says, llama_says

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(sys.platform != "linux", reason="/proc/PID/fd is Linux's"),
]

FIT = 24
LIMIT = OWN + FIT * PER_REQUEST
Open = dict[str, str]
"""Descriptors by number, and what each is of: a path, or `socket:` with the socket's number."""
TURN = {"message": "Quanto capitale serve per una PT PMA?"}
PATIENT = {"FIRST_CONTENT_TIMEOUT_S": "60", "CONNECT_TIMEOUT_S": "60", "LOG_FORMAT": "json"}


@dataclass
class Child:
    """The service as a process of its own, that may open `LIMIT` descriptors."""

    http: httpx.AsyncClient
    pid: int

    def open_now(self) -> Open:
        """What each of its descriptors is."""
        found: Open = {}
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found[descriptor.name] = str(descriptor.readlink())
        return found

    async def ask(self, **options: str) -> httpx.Response:
        """One turn over a connection of its own."""
        async with httpx.AsyncClient(base_url=self.http.base_url, timeout=60) as http:
            turn, headers = {**TURN, **options}, {"Connection": "close"}
            return await http.post("/chat", json=turn, headers=headers)

    async def until_the_books_are_open(self) -> None:
        """Wait until the ledger has its file: it is opened at the first call, and stays."""
        async with asyncio.timeout(60):
            while not any(what.endswith("/ledger.db") for what in self.open_now().values()):
                await asyncio.sleep(0.01)

    async def until_closed_but_for(self, before: Open) -> None:
        """Wait until no connection is left that was opened since.

        Files may stay: the store has a connection for each thread that ever asked it, which
        are opened as the threads are, and are as many at the most as an idle service may have.
        """
        left = self.open_now()
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while len(connections(left)) > len(connections(before)):
                    await asyncio.sleep(0.01)
                    left = self.open_now()
        since = {n: what for n, what in left.items() if before.get(n) != what}
        assert len(connections(left)) <= len(connections(before)), f"left open: {since}"
        assert len(left) <= OWN, f"{len(left)} open, and the service is idle: {left}"


def connections(descriptors: Open) -> list[str]:
    """Those of them that are sockets."""
    return [what for what in descriptors.values() if what.startswith("socket:")]


class HeldConnection:
    """A connection that was opened before, and is used for one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON."""
        content = b"" if body is None else json.dumps(body).encode()
        self.writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head, _, answer = (await self.reader.read()).partition(b"\r\n\r\n")
        assert b" 200 " in head.partition(b"\r\n")[0], head
        return json.loads(answer)


class Held:
    """Connections to the service that say nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[HeldConnection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._open:
            connection.writer.close()

    async def connect(self) -> HeldConnection:
        """One more."""
        connection = HeldConnection(*await asyncio.open_connection("127.0.0.1", self._port))
        self._open.append(connection)
        return connection

    async def until_refused(self, most: int) -> None:
        """Hold so many that the service closes one as soon as it has taken it."""
        more = [await self.connect() for _ in range(most)]
        closings = [asyncio.create_task(one.reader.read()) for one in more]
        async with asyncio.timeout(60):
            await asyncio.wait(closings, return_when=asyncio.FIRST_COMPLETED)
        for closing in closings:
            closing.cancel()
        await asyncio.gather(*closings, return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def child(
    indexed_dir: Path, tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream
) -> AsyncIterator[Child]:
    """One for all: what a test takes of it, it gives back."""
    here = tmp_path_factory.mktemp("child")
    data_dir, port, log = shutil.copytree(indexed_dir, here / "data"), free_port(), here / "log"
    env = environment(data_dir, shared_upstream, PORT=str(port), **PATIENT)
    limited = ("sh", "-c", f'ulimit -n {LIMIT} && exec "$0" serve', ZANTARA)
    async with served(*limited, port=port, env=env, cwd=here, log=log) as (http, process):
        child = Child(http, process.pid)
        async with asyncio.timeout(120):
            degraded = True
            while degraded:  # the first searches open the vector index
                shared_upstream.llama(llama_says("Sì."))
                degraded = (await child.ask()).json()["degraded"]
        # What is loaded late would take files, and give them back while none is to be free.
        shared_upstream.haiku(haiku_says("Sì."))
        assert (await child.ask(model="haiku")).json()["ai_used"] == "haiku"
        await child.until_the_books_are_open()
        yield child
    assert "Traceback" not in log.read_text()


async def wave(child: Child, upstream: Upstream) -> list[httpx.Response]:
    """Twice the requests that fit, all at once; Llama speaks when the rest has been refused."""
    gate = asyncio.Event()

    async def gated(wire: Wire) -> None:
        await gate.wait()
        await llama_says("Dieci miliardi.")(wire)

    upstream.clear()
    upstream.llama(*[gated] * FIT)
    asking = [asyncio.create_task(child.ask()) for _ in range(2 * FIT)]
    async with asyncio.timeout(60):
        while len(upstream.calls) + sum(task.done() for task in asking) < 2 * FIT:
            await asyncio.sleep(0.01)
    gate.set()
    return await asyncio.gather(*asking)


async def test_what_descriptors_do_not_allow_is_refused_and_what_was_admitted_is_served(
    child: Child, upstream: Upstream
) -> None:
    before = child.open_now()
    answers = await wave(child, upstream)

    assert Counter(answer.status_code for answer in answers) == {200: FIT, 503: FIT}
    for answer in answers:
        if answer.status_code == 200:
            assert answer.json()["ai_used"] == "llama-scout"
            assert answer.json()["answer"] == "Dieci miliardi."
        else:
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["connection"] == "close"
    await child.until_closed_but_for(before)


async def test_with_every_descriptor_taken_it_quotes_and_when_they_are_free_it_is_as_before(
    child: Child, upstream: Upstream
) -> None:
    before = child.open_now()
    async with Held(child.http.base_url.port or 0) as held:
        to_ask = await held.connect()
        to_look = await held.connect()
        await held.until_refused(LIMIT)

        quoted = await to_ask.request("POST", "/chat", TURN)
        health = await to_look.request("GET", "/health")

        assert (quoted["ai_used"], quoted["fallback_reason"]) == ("extractive", "no_descriptors")
        assert quoted["sources"]
        # Neither model is to blame, so neither circuit opens.
        assert {p["circuit"] for p in health["providers"].values()} == {"closed"}
        assert not upstream.calls
    await child.until_closed_but_for(before)

    upstream.llama(llama_says("Dieci miliardi."))
    answer = await child.ask()

    assert (answer.status_code, answer.json()["ai_used"]) == (200, "llama-scout")
    await child.until_closed_but_for(before)
