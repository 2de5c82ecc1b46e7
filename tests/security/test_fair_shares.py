"""Rows 30, 32 and 33 of the security matrix: nobody takes more than their share."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import count
from pathlib import Path

import httpx
import pytest

from app.access.keys import KeyScope
from app.retrieval.database import FILE_NAME
from app.retrieval.e5.embedder import E5Embedder
from app.retrieval.embedder import Vectors
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.security.test_children import environments

LANGUAGES = ("it", "en", "id", "fr", "de", "es", "nl", "pt", "ja", "ko")


@asynccontextmanager
async def with_key(
    client: httpx.AsyncClient, data_dir: Path, name: str, *scopes: KeyScope
) -> AsyncIterator[httpx.AsyncClient]:
    """Another client of the same service, with a key of its own."""
    headers = bearing(make_key(data_dir, name, *scopes))
    async with httpx.AsyncClient(base_url=client.base_url, headers=headers, timeout=60) as keyed:
        while (await keyed.post("/search", json={})).status_code == 401:
            await asyncio.sleep(0.05)
        yield keyed


def long_text(number: int) -> str:
    return " ".join(f"{number} visa {word}" for word in range(300))[:1_990]


async def test_row_30_long_searches_of_one_key_do_not_degrade_those_of_another(
    serving: Serving, data_dir: Path
) -> None:
    make_key(data_dir, "first", KeyScope.CHAT)
    async with (
        serving() as client,
        with_key(client, data_dir, "greedy", KeyScope.CHAT) as greedy,
        with_key(client, data_dir, "other", KeyScope.CHAT) as other,
    ):

        async def long_searches(first: int) -> None:
            for number in count(first, 20):
                texts = {code: long_text(100 * number + i) for i, code in enumerate(LANGUAGES)}
                body = {"query": long_text(100 * number + 99), "translations": texts}
                answer = await greedy.post("/search", json=body)
                assert answer.status_code in (200, 429)

        attack = [asyncio.create_task(long_searches(first)) for first in range(20)]
        await greedy.post("/search", json={"query": "visa"})
        answers = [
            (await other.post("/search", json={"query": f"Quanto dura il visto {n}?"})).json()
            for n in range(5)
        ]
        assert not any(task.done() for task in attack)
        for task in attack:
            task.cancel()
        await asyncio.gather(*attack, return_exceptions=True)

    # One at the most, where the machine is busy: without shares all of them are.
    assert sum(answer["degraded"] for answer in answers) <= 1


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def sent(
    client: httpx.AsyncClient, path: str, content_type: str, body: bytes
) -> asyncio.StreamWriter:
    """A whole request, whose answer nobody has read yet."""
    _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return writer


async def test_row_30_the_work_of_a_search_stops_when_its_caller_is_gone(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []
    embed_queries = E5Embedder.embed_queries

    def noting(self: E5Embedder, texts: Sequence[str]) -> Vectors:
        embedded.extend(texts)
        return embed_queries(self, texts)

    monkeypatch.setattr(E5Embedder, "embed_queries", noting)
    monkeypatch.setattr("app.retrieval.dense.SEARCH_TIMEOUT_S", 60.0)  # which ends searches too
    # Only translations into languages that documents have are embedded.
    given_up = {long_text(n) for n in range(30)}
    texts = sorted(given_up)
    async with serving() as client, AsyncExitStack() as leaving:
        for n in range(0, 30, 3):
            translations = dict(zip(("it", "en", "id"), texts[n : n + 3], strict=True))
            body = json.dumps({"query": f"Visa {n}?", "translations": translations}).encode()
            writer = await sent(client, "/search", "application/json", body)
            leaving.callback(writer.close)
        await until(lambda: given_up & set(embedded))
        before = len(given_up & set(embedded))
        await leaving.aclose()
        # Of the same caller, whose work is done in its order: it would be behind most of theirs.
        answer = await client.post("/search", json={"query": long_text(100)})
        after = len(given_up & set(embedded))

    assert answer.status_code == 200
    assert after - before <= 3


def vectors_in(data_dir: Path) -> int:
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as database:
        count: int = database.execute("SELECT count(*) FROM vectors").fetchone()[0]
    return count


async def send(client: httpx.AsyncClient, name: str, text: str) -> httpx.Response:
    return await client.post("/documents", files={"file": (name, text.encode())})


async def test_row_33_a_document_of_too_many_passages_is_refused_before_any_is_embedded(
    serving: Serving, data_dir: Path
) -> None:
    text = "\n".join(f"# H{n}\n\nx{n}" for n in range(40_000))
    before = vectors_in(data_dir)
    async with serving() as client:
        refused = await send(client, "many.md", text)
        listed = (await client.get("/documents", params={"limit": 1})).json()
    assert refused.status_code == 422
    assert refused.json()["detail"] == (
        "has 40,000 passages; a document has at most 20,000: split it"
    )
    assert (listed["pending_vectors"], vectors_in(data_dir)) == (0, before)


async def test_row_33_a_large_upload_is_in_no_small_ones_way_nor_in_a_deletions(
    serving: Serving, data_dir: Path
) -> None:
    make_key(data_dir, "first", KeyScope.CHAT)
    passages = "\n\n".join(f"## Part {n}\n\nThe part {n} holds {n * 7}." for n in range(3_000))
    small = "\n\n".join(f"## Rule {n}\n\nA zyx{n} is allowed." for n in range(10))
    scopes = (KeyScope.CHAT, KeyScope.DOCUMENTS)
    async with (
        serving() as client,
        with_key(client, data_dir, "greedy", *scopes) as greedy,
        with_key(client, data_dir, "other", *scopes) as other,
    ):
        large = (await send(greedy, "large.md", f"# Large\n\n{passages}")).json()
        sent = (await send(other, "small.md", f"# Small\n\n{small}")).json()
        found = (await other.post("/search", json={"query": "zyx7"})).json()["passages"]
        waiting = (await greedy.get("/documents/greedy/large")).json()
        deleted = await greedy.delete("/documents/greedy/large")
        async with asyncio.timeout(60):
            while (own := (await other.get("/documents/other/small")).json())["vectors"] != "ready":
                await asyncio.sleep(0.05)
        (listed,) = (await other.get("/documents", params={"collections": "other"})).json()[
            "documents"
        ]

    assert (large["vectors"], large["chunks"]) == ("pending", 3_000)
    assert (sent["vectors"], sent["chunks"], sent["passages_with_vectors"]) == ("pending", 10, 0)
    assert found[0]["document_id"] == "other/small"
    assert waiting["vectors"] == "pending"
    assert waiting["passages_with_vectors"] < 3_000
    assert deleted.status_code == 204
    assert own["passages_with_vectors"] == listed["passages_with_vectors"] == 10


def readers() -> list[str]:
    return [command for command in environments() if "app.retrieval.reader_child" in command]


async def test_row_33_an_upload_that_is_given_up_half_way_leaves_nothing(
    serving: Serving, data_dir: Path
) -> None:
    text = "\n".join(f"# H{n}\n\nx{n}" for n in range(15_000))
    form = (
        '--b\r\nContent-Disposition: form-data; name="file"; filename="given-up.md"\r\n\r\n'
        f"{text}\r\n--b--\r\n"
    )
    async with serving() as client:
        before = vectors_in(data_dir)
        writer = await sent(client, "/documents", "multipart/form-data; boundary=b", form.encode())
        await until(lambda: bool(readers()))
        writer.close()
        # One of them may be kept for the next upload.
        await until(lambda: len(readers()) <= 1)
        # Of the same caller, so that it is written after the other would have been.
        small = await send(client, "small.md", "# Small\n\nA small document of two lines.")
        listed = (await client.get("/documents", params={"limit": 500})).json()
        await until(lambda: vectors_in(data_dir) > before)

    assert small.status_code == 201
    assert "given-up" not in {document["id"] for document in listed["documents"]}
    assert vectors_in(data_dir) == before + small.json()["chunks"]
