"""Conversations that the service keeps, as their owners see them."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.access.keys import KeyScope
from app.chat.conversations import FILE_NAME, MAX_AGE_S, MAX_MESSAGES, Conversations
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.service import stream_chat
from tests.upstream import Upstream, llama_says

ID = "0b6f2d7e-5d2c-4a1c-9d0e-conversation"
FIRST = "Quanto capitale serve per una PT PMA?"
SECOND = "E per aprire un ristorante quale codice KBLI serve?"


async def test_a_conversation_goes_on_after_a_restart_is_exported_and_forgotten(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Oltre ", "10 miliardi."), llama_says("56101."), llama_says("Boh."))
    async with serving() as client:
        await stream_chat(client, message=FIRST, conversation_id=ID)
    async with serving() as client:
        await client.post("/chat", json={"message": SECOND, "conversation_id": ID})
        exported = (await client.get(f"/conversations/{ID}")).json()
        assert (await client.delete(f"/conversations/{ID}")).status_code == 204
        assert (await client.get(f"/conversations/{ID}")).status_code == 404
        assert (await client.delete(f"/conversations/{ID}")).status_code == 404
        await client.post("/chat", json={"message": FIRST, "conversation_id": ID})

    told = [("user", FIRST), ("assistant", "Oltre 10 miliardi.")]
    assert exported["id"] == ID
    assert [(m["role"], m["content"]) for m in exported["messages"]] == [
        *told,
        ("user", SECOND),
        ("assistant", "56101."),
    ]
    _, second, forgotten = [call.json["messages"][1:] for call in upstream.llama_calls]
    assert [(m["role"], m["content"]) for m in second[:-1]] == told
    assert len(forgotten) == 1


async def test_nobody_goes_on_with_another_s_conversation_or_reads_it(
    upstream: Upstream, serving: Serving, data_dir: Path
) -> None:
    ada, bob = (make_key(data_dir, name, KeyScope.CHAT) for name in ("ada", "bob"))
    upstream.llama(llama_says("Oltre 10 miliardi."), llama_says("Boh."))
    async with serving() as client:
        for key, question in ((ada, FIRST), (bob, SECOND)):
            body = {"message": question, "conversation_id": ID}
            assert (await client.post("/chat", json=body, headers=bearing(key))).is_success
        exported = (await client.get(f"/conversations/{ID}", headers=bearing(bob))).json()
        await client.delete(f"/conversations/{ID}", headers=bearing(bob))
        left = await client.get(f"/conversations/{ID}", headers=bearing(ada))

    assert [m["content"] for m in exported["messages"]] == [SECOND, "Boh."]
    assert left.status_code == 200
    assert FIRST not in str(upstream.llama_calls[1].json)


async def test_a_turn_without_an_end_is_not_kept(upstream: Upstream, serving: Serving) -> None:
    upstream.llama(llama_says("Oltre ", "10 miliardi.", gate=asyncio.Event()))
    async with serving() as client:
        body = {"message": FIRST, "conversation_id": ID, "stream": True}
        async with client.stream("POST", "/chat", json=body) as response:
            await anext(response.aiter_bytes())
        await upstream.llama_calls[0].closed.wait()
        assert (await client.get(f"/conversations/{ID}")).status_code == 404


@pytest.mark.parametrize("known", [False, True], ids=["first turn", "later turn"])
async def test_a_conversation_that_is_deleted_during_a_turn_is_not_kept_after_it(
    known: bool, upstream: Upstream, serving: Serving, data_dir: Path
) -> None:
    speaking = asyncio.Event()
    upstream.llama(
        *[llama_says("Boh.")] * known, llama_says("Oltre ", "10 miliardi.", gate=speaking)
    )
    body = {"message": FIRST, "conversation_id": ID}
    async with serving() as client:
        if known:
            await client.post("/chat", json=body)
        async with client.stream("POST", "/chat", json={**body, "stream": True}) as response:
            chunks = response.aiter_bytes()
            await anext(chunks)
            deleted = await client.delete(f"/conversations/{ID}")
            speaking.set()
            sent = b"".join([chunk async for chunk in chunks])
        after = await client.get(f"/conversations/{ID}")

    assert b"event: done" in sent
    assert (deleted.status_code, after.status_code) == (204, 404)
    assert b"miliardi" not in (data_dir / FILE_NAME).read_bytes()


@pytest.mark.parametrize(
    "body",
    [
        {"message": FIRST, "conversation_id": "1"},
        {"message": FIRST, "conversation_id": "../../etc/passwd/and/more"},
        {"messages": [{"role": "user", "content": FIRST}], "conversation_id": ID},
    ],
    ids=["guessable", "path", "two-histories"],
)
async def test_an_id_that_could_be_guessed_and_a_second_history_are_refused(
    body: dict[str, object], serving: Serving
) -> None:
    async with serving() as client:
        assert (await client.post("/chat", json=body)).status_code == 422


def test_old_and_long_conversations_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Conversations(tmp_path)
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    monkeypatch.setattr("app.chat.conversations.MAX_CONVERSATIONS", 2)
    for n in range(MAX_MESSAGES):
        kept.add("ada", "long", f"question {n}", "answer")
    said = kept.messages("ada", "long")
    assert (len(said), said[-2].content) == (MAX_MESSAGES, f"question {MAX_MESSAGES - 1}")

    for name in ("second", "third"):
        now += 1
        kept.add("ada", name, "question", "answer")
    assert [bool(kept.messages("ada", name)) for name in ("long", "second", "third")] == [
        False,
        True,
        True,
    ]
    now += MAX_AGE_S - 1
    kept.add("ada", "third", "question", "answer")
    now += 2
    kept.add("bob", "fourth", "question", "answer")
    assert len(kept.messages("ada", "third")) == 4  # it was gone on with in time
    now += MAX_AGE_S
    assert not kept.messages("ada", "third")
    kept.add("bob", "fifth", "question", "answer")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        left = database.execute("SELECT owner, conversation FROM messages").fetchall()
    assert left == [("bob", "fifth")] * 2


def test_row_36_an_owners_conversations_have_a_bound_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.chat.conversations.MAX_BYTES", 50_000)
    kept = Conversations(tmp_path)
    kept.add("bob", "his", "question", "answer")
    for n in range(20):
        kept.add("ada", f"conversation {n}", "è" * 5_000, "answer")
    kept.add("ada", "one that is large by itself", "q" * 60_000, "answer")

    left = [n for n in range(20) if kept.messages("ada", f"conversation {n}")]
    assert (left, len(kept.messages("ada", "one that is large by itself"))) == ([], 2)
    assert kept.messages("bob", "his")
    for n in range(20):
        kept.add("ada", f"conversation {n}", "è" * 5_000, "answer")
    assert [n for n in range(20) if kept.messages("ada", f"conversation {n}")] == [16, 17, 18, 19]


def test_row_36_old_conversations_are_purged_whoever_adds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Conversations(tmp_path)
    kept.add("ada", "old", "a question about zebras", "answer")
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + MAX_AGE_S + 1)
    kept.purge()

    assert b"zebras" not in (tmp_path / FILE_NAME).read_bytes()


def test_row_38_a_conversation_of_an_earlier_version_is_kept_counted_and_erased(
    tmp_path: Path,
) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute(
            "CREATE TABLE messages (n INTEGER PRIMARY KEY, owner TEXT NOT NULL, conversation TEXT "
            "NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL)"
        )
        add = "INSERT INTO messages (owner, conversation, role, content, at) VALUES (?, ?, ?, ?, ?)"
        for name, content in (("old", "zebras " * 2_000), ("kept", "a question")):
            database.execute(add, ("ada", name, "user", content, time.time()))
        database.commit()
        database.execute("DELETE FROM messages WHERE conversation = 'old'")
    assert b"zebras" in (tmp_path / FILE_NAME).read_bytes()

    kept = Conversations(tmp_path)
    assert [m.content for m in kept.messages("ada", "kept")] == ["a question"]
    assert b"zebras" not in (tmp_path / FILE_NAME).read_bytes()
    assert kept.delete("ada", "kept")
    assert b"a question" not in (tmp_path / FILE_NAME).read_bytes()
