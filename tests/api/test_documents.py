"""Documents over HTTP: a real service, real files, and what they are found by afterwards."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.keys import KeyScope
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.retrieval.extractors import files

VISA = "# Visto di prova\n\nIl visto X99 dura novanta giorni.\n"


async def upload(
    client: httpx.AsyncClient, name: str, content: bytes | str, **fields: Any
) -> httpx.Response:
    raw = content.encode() if isinstance(content, str) else content
    return await client.post("/documents", files={"file": (name, raw)}, data=fields)


async def found(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.post("/search", json={"query": query})
    return [passage["document_id"] for passage in answer.json()["passages"]]


async def test_a_document_is_sent_found_looked_at_and_deleted(serving: Serving) -> None:
    async with serving() as client:
        sent = await upload(client, "visti/x99.md", VISA, effective_date="2026-01-01")
        assert sent.status_code == 201
        assert sent.headers["location"] == "/documents/visti/x99"
        stored = sent.json()
        assert stored["change"] == "added"
        assert (stored["id"], stored["title"], stored["language"], stored["chunks"]) == (
            "visti/x99",
            "Visto di prova",
            "it",
            1,
        )
        assert (await found(client, "Quanto dura il visto X99?"))[0] == "visti/x99"

        for path in ("/documents/visti/x99", "/documents/visti%2Fx99"):
            shown = (await client.get(path, params={"text": "true"})).json()
            assert shown["effective_date"] == "2026-01-01"
            assert shown["text"] == VISA
            (section,) = shown["sections"]
            assert section["section"] == "Visto di prova"
            assert VISA[section["start"] : section["end"]].startswith("# Visto di prova")
        assert (await client.get("/documents/visti/x99")).json()["text"] is None

        assert (await client.delete("/documents/visti/x99")).status_code == 204
        gone = await client.delete("/documents/visti/x99")
        assert (gone.status_code, gone.json()["detail"]) == (404, "there is no such document")
        assert (await client.get("/documents/visti/x99")).status_code == 404
        assert "visti/x99" not in await found(client, "Quanto dura il visto X99?")


async def test_a_pdf_s_passages_know_their_page(serving: Serving) -> None:
    async with serving() as client:
        law = files.pdf("Izin X99 berlaku sembilan puluh hari.", "Izin Y88 berlaku dua tahun.")
        stored = (await upload(client, "izin.pdf", law)).json()
        answer = await client.post(
            "/search",
            json={"query": "izin X99", "filters": {"document_ids": [stored["id"]]}},
        )
    (passage,) = answer.json()["passages"]
    assert (passage["page"], passage["last_page"]) == (1, 2)
    assert passage["document_id"] == "izin"


async def test_the_same_file_again_changes_nothing_and_another_replaces_it(
    serving: Serving,
) -> None:
    async with serving() as client:
        await upload(client, "x99.md", VISA)
        again = await upload(client, "x99.md", VISA)
        assert (again.status_code, again.json()["change"]) == (200, "unchanged")
        new = await upload(client, "x99.md", VISA.replace("novanta", "sessanta"))
        assert (new.status_code, new.json()["change"]) == (200, "changed")
        text = (await client.get("/documents/x99", params={"text": True})).json()["text"]
    assert "sessanta" in text


async def test_what_the_gate_refuses_is_one_line_unless_it_is_forced(serving: Serving) -> None:
    async with serving() as client:
        await upload(client, "x99.md", VISA)
        copy = await upload(client, "copy.md", VISA)
        assert copy.status_code == 422
        assert copy.headers["content-type"] == "application/problem+json"
        assert copy.json()["detail"] == (
            "has the same words as x99 (force it to be indexed all the same)"
        )
        assert (await client.get("/documents/copy")).status_code == 404
        forced = await upload(client, "copy.md", VISA, force="true")
        assert forced.status_code == 201
        assert forced.json()["marks"] == ["has the same words as x99"]
        assert forced.json()["warnings"] == [
            {"kind": "content", "where": "", "detail": "has the same words as x99"}
        ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.md", b" ", "is empty"),
        ("law.md", files.pdf("Pasal 1"), "is PDF, not Markdown as its name says"),
        ("law.abc", b"Pasal 1", "is none of .md, .txt"),
        ("../law.md", VISA, "the file's name is not one like folder/file.pdf"),
        ("/etc/law.md", VISA, "the file's name is not one like folder/file.pdf"),
        ("a\\b.md", VISA, "the file's name is not one like folder/file.pdf"),
        ("x" * 301 + ".md", VISA, "the file's name is not one like folder/file.pdf"),
        (".md", VISA, "is none of .md, .txt"),
        ("locked.pdf", files.pdf("Pasal 1", encrypted=True), "is encrypted"),
    ],
)
async def test_what_cannot_be_indexed_is_refused_with_one_line(
    name: str, content: bytes, reason: str, serving: Serving
) -> None:
    async with serving() as client:
        refused = await upload(client, name, content)
        total = (await client.get("/documents", params={"limit": 1})).json()["total"]
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith(reason)
    assert total == 31


async def test_a_file_beyond_the_limit_is_refused(serving: Serving) -> None:
    async with serving(max_upload_bytes=100_000) as client:
        assert (await upload(client, "a.txt", "a " * 50_001)).status_code == 413
        too_large = await upload(client, "a.txt", "a " * 500_000)
        assert too_large.status_code == 413
        assert too_large.headers["content-type"] == "application/problem+json"

        async def without_length() -> AsyncIterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
            for _ in range(100):
                yield b"a" * 10_000

        chunked = await client.post(
            "/documents",
            content=without_length(),
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        assert chunked.status_code == 413


async def test_wrong_fields_are_named(serving: Serving) -> None:
    async with serving() as client:
        missing = await client.post("/documents", files={"collection": (None, "a")})
        assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "file")
        wrong = await upload(
            client, "a.md", VISA, collection="../a", effective_date="soon", access="Staff"
        )
        assert sorted(error["field"] for error in wrong.json()["errors"]) == [
            "access",
            "collection",
            "effective_date",
        ]


async def test_row_37_only_operators_ask_by_the_path_that_answers_withhold(
    serving: Serving, data_dir: Path
) -> None:
    office, operator = (
        make_key(data_dir, name, scope)
        for name, scope in (("office", KeyScope.DOCUMENTS), ("ops", KeyScope.ADMIN))
    )
    async with serving() as client:
        entries = (await client.get("/documents", headers=bearing(operator))).json()["documents"]
        for root in (entries[0]["root"], "/nowhere", "key office"):
            asked = await client.get("/documents", params={"root": root}, headers=bearing(office))
            assert asked.status_code == 403
            assert "total" not in asked.json()
        mine = await client.get(
            "/documents", params={"root": entries[0]["root"]}, headers=bearing(operator)
        )
    assert mine.json()["total"] > 0


async def test_row_29_a_form_of_more_fields_files_or_bytes_than_anybody_needs_is_refused(
    serving: Serving,
) -> None:
    file = ("a.md", VISA)
    forms: list[list[tuple[str, Any]]] = [
        [("file", file), ("file", file)],
        [("file", file), *[(f"x{n}", (None, "a")) for n in range(31)]],
        [("file", file), ("collection", (None, "a" * 300_000))],
        [("file", ("a.md", VISA, "text/plain", {f"x{n}": "a" for n in range(20)}))],
        [("file", ("a.md", VISA, "text/plain", {"x": "a" * 10_000}))],
    ]
    async with serving() as client:
        for form in forms:
            assert (await client.post("/documents", files=form)).status_code == 400
        for kind in ("application/x-www-form-urlencoded", "application/json", ""):
            refused = await client.post(
                "/documents", content=b"a=b&" * 100_000, headers={"content-type": kind}
            )
            assert refused.status_code == 415, kind


async def test_documents_are_listed_by_page_language_collection_and_origin(
    serving: Serving,
) -> None:
    async with serving() as client:

        async def ids(**params: Any) -> list[str]:
            answer = (await client.get("/documents", params=params)).json()
            return [document["id"] for document in answer["documents"]]

        everything = await ids()
        assert len(everything) == 31
        assert everything == sorted(everything)
        assert await ids(limit=3, offset=2) == everything[2:5]
        assert {i.partition("/")[0] for i in await ids(languages="it")} == {"it"}
        await upload(client, "x99.md", VISA, collection="visti", root="/srv/visti")
        assert await ids(collections="visti") == ["visti/x99"]
        assert await ids(root="/srv/visti") == ["visti/x99"]
        assert (await client.get("/documents", params={"limit": 501})).status_code == 422


async def test_a_superseded_document_is_offered_only_when_asked_for(serving: Serving) -> None:
    async with serving() as client:
        await upload(client, "x99.md", VISA)
        newer = VISA.replace("novanta", "trenta")
        await upload(client, "x99-2026.md", newer, supersedes="x99")
        assert (await client.get("/documents/x99")).json()["superseded"]
        hits = await found(client, "Quanto dura il visto X99?")
        assert "x99-2026" in hits
        assert "x99" not in hits
        answer = await client.post(
            "/search",
            json={
                "query": "Quanto dura il visto X99?",
                "filters": {"include_superseded": True, "document_ids": ["x99"]},
            },
        )
        assert [p["document_id"] for p in answer.json()["passages"]] == ["x99"]


async def test_what_only_others_may_read_is_neither_shown_nor_replaced_nor_deleted(
    serving: Serving, data_dir: Path
) -> None:
    operator = make_key(data_dir, "operator", KeyScope.ADMIN)
    stranger = make_key(data_dir, "stranger", KeyScope.DOCUMENTS, KeyScope.CHAT)
    async with serving() as client:
        client.headers.update(bearing(operator))
        secret = await upload(client, "x99.md", VISA, access="staff")
        assert (secret.status_code, secret.json()["access"]) == (201, "staff")
        client.headers.update(bearing(stranger))
        assert (await client.get("/documents/x99")).status_code == 404
        assert (await client.delete("/documents/x99")).status_code == 404
        assert "x99" not in (await client.get("/documents", params={"limit": 500})).text
        refused = await upload(client, "guess.md", VISA, access="staff")
        assert refused.status_code == 403
        assert "does not belong to the group staff" in refused.json()["detail"]
        bent = await upload(client, "guess.md", VISA, root="/srv")
        assert bent.status_code == 403
        assert "x99" not in await found(client, "Quanto dura il visto X99?")
        # Neither the id nor a copy of it tells that it is there.
        own = await upload(client, "x99.md", VISA.replace("novanta", "due"), force="true")
        assert (own.status_code, own.json()["id"]) == (201, "stranger/x99")
        assert (await upload(client, "copy.md", VISA)).status_code == 201


async def test_who_sits_at_the_machine_looks_after_every_groups_documents(
    serving: Serving,
) -> None:
    async with serving() as client:
        await upload(client, "x99.md", VISA, access="staff")
        assert (await client.get("/documents/x99")).json()["access"] == "staff"
        assert "x99" not in await found(client, "Quanto dura il visto X99?")
        assert (await client.delete("/documents/x99")).status_code == 204
        assert (await client.get("/documents/x99")).status_code == 404


async def test_two_uploads_at_once_are_both_indexed(serving: Serving) -> None:
    async with serving() as client:
        answers = await asyncio.gather(
            upload(client, "one.md", VISA),
            upload(client, "two.md", VISA.replace("X99", "Y88").replace("novanta", "dieci")),
        )
        assert [answer.status_code for answer in answers] == [201, 201]
        assert (await client.get("/documents")).json()["total"] == 33
