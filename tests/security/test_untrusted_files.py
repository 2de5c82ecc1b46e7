"""Rows 12 and 13 of the security matrix: hostile files, at their reader and through the service."""

import asyncio
import io
import stat
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from app.errors import DocumentRejected
from app.retrieval import front_matter
from app.retrieval.reader import LIMITS, Reader, start_child
from app.retrieval.sources import Source, survey
from tests.conftest import Serving
from tests.security import bombs
from tests.service import stream_chat, text_of
from tests.upstream import Upstream, llama_says

DOCUMENT = "word/document.xml"
SOUND = b'{"permit": "E33G is for remote workers"}'
QUICK: dict[str, Callable[[], bytes]] = {
    "a zip bomb.docx": lambda: bombs.docx_with(DOCUMENT, b"0" * 210 * bombs.MEGABYTE),
    "four gigabytes of overlaps.docx": lambda: bombs.overlapping(4_000),
    "an archive in an archive.docx": bombs.nested,
    "a billion laughs.docx": lambda: bombs.docx_with(DOCUMENT, bombs.laughs().encode()),
    "in another encoding.docx": lambda: bombs.docx_with(DOCUMENT, bombs.laughs().encode("utf-16")),
    "under another name.docx": lambda: bombs.docx_with("x.png", bombs.laughs().encode()),
    "reads this machine.docx": lambda: bombs.docx_with(
        DOCUMENT, bombs.external("file:///etc/passwd").encode()
    ),
    "a picture.svg": lambda: bombs.laughs().encode(),
    "brackets.json": lambda: b"[" * 1_000_000,
    "one field.csv": lambda: b'a,b\n"' + b"x" * 5_000_000,
}
SLOW: dict[str, Callable[[], bytes]] = {
    **bombs.PDFS,
    "says it is small.docx": lambda: bombs.docx_with(
        DOCUMENT, b"0" * 50 * bombs.MEGABYTE, declared=100
    ),
    "elements in elements.html": lambda: b"<div>" * 20_000 + b"x",
}


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """With less of all than the service's, so that a test ends sooner; the kinds are the same."""
    limits = replace(LIMITS, cpu_s=8, memory_bytes=800 * bombs.MEGABYTE)
    with Reader(lambda: start_child(limits)) as started:
        yield started


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_row_12_a_bomb_is_refused_in_one_line_and_the_next_file_is_read(
    name: str, reader: Reader
) -> None:
    with pytest.raises(DocumentRejected) as refused:
        reader.prepare({**QUICK, **SLOW}[name](), name)

    assert "\n" not in str(refused.value)
    assert "passwd" not in str(refused.value)
    assert "E33G" in reader.prepare(SOUND, "sound.json").loaded.text


def test_row_12_laughs_in_front_matter_take_no_memory() -> None:
    # Read in the service itself, where no child's bounds hold.
    laughs = bombs.merged()
    tracemalloc.start()
    try:
        assert front_matter.read(laughs).title == "Laughs"
        assert tracemalloc.get_traced_memory()[1] < bombs.MEGABYTE
    finally:
        tracemalloc.stop()


async def test_row_12_nothing_is_fetched_for_a_file(reader: Reader) -> None:
    connections = 0

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    page = (
        f'<!DOCTYPE d [<!ENTITY x SYSTEM "{address}">]><html><head><link rel=stylesheet '
        f'href="{address}"></head><body>&x;<img src="{address}"><iframe src="{address}"></iframe>'
        f'<svg><image href="{address}"/></svg><p>A permit lasts a year.</p></body></html>'
    )
    external = bombs.docx_with(DOCUMENT, bombs.external(address).encode())
    async with server:
        # What stands in the picture's place is left out, and the text is kept.
        picture = await asyncio.to_thread(reader.prepare, bombs.linked_picture(address), "a.docx")
        html = await asyncio.to_thread(reader.prepare, page.encode(), "a.html")
        with pytest.raises(DocumentRejected):
            await asyncio.to_thread(reader.prepare, external, "b.docx")

    assert "A permit lasts a year." in picture.loaded.text
    assert "A permit lasts a year." in html.loaded.text
    assert connections == 0


async def upload(client: httpx.AsyncClient, name: str, content: bytes) -> httpx.Response:
    return await client.post("/documents", files={"file": (name, content)}, timeout=120)


async def test_row_12_the_service_answers_while_bombs_come_in(
    upstream: Upstream, serving: Serving
) -> None:
    made = [*list(QUICK.items())[1:3], *list(bombs.PDFS.items())[:1]]
    sent = {name: make() for name, make in made}
    upstream.llama(*[llama_says("Ten billion.")] * 3)
    async with serving() as client:

        async def asked() -> list[Any]:
            return [text_of(await stream_chat(client, message="Capital?")) for _ in range(3)]

        answers, *refused = await asyncio.gather(
            asked(), *(upload(client, name, content) for name, content in sent.items())
        )
        sound = await upload(client, "sound.json", SOUND)

    assert answers == ["Ten billion."] * 3
    assert [(r.status_code, "\n" in r.json()["detail"]) for r in refused] == [(422, False)] * len(
        sent
    )
    assert sound.status_code == 201


def an_archive_of_a_link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        link = zipfile.ZipInfo("passwd.md")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
        made.writestr("../../outside.md", "# Outside\n")
    return file.getvalue()


OUTSIDE = (
    "../outside.md", "a/../../outside.md", "/tmp/outside.md", "//tmp/outside.md", "..\\outside.md",
    "..", ".md", "/", "%00.md\r\n", "\u202emd.exe.md",
    "x" * 400 + ".md",
)  # fmt: skip


A_NUL = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\x00.md"\r\n\r\n# Outside\n'
    b"\r\n--b--\r\n"
)


async def test_row_13_no_name_leads_out(serving: Serving, tmp_path: Path) -> None:
    async with serving() as client:
        there = {path for path in tmp_path.rglob("*") if "data" not in path.parts}
        before = (await client.get("/documents")).json()["total"]
        answers = [await upload(client, name, b"# Outside\n\nText.\n") for name in OUTSIDE]
        answers += [
            await upload(client, "links.docx", an_archive_of_a_link()),
            await upload(client, "links.zip", an_archive_of_a_link()),
        ]
        form = {"content-type": "multipart/form-data; boundary=b"}
        answers.append(await client.post("/documents", content=A_NUL, headers=form))
        after = (await client.get("/documents")).json()["total"]
        looks = [
            await client.get(f"/documents/{path}")
            for path in ("..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "..%5C..%5Cx", "a%00b")
        ]
        looks += [
            await client.get(f"/static/{path}")
            for path in ("..%2F..%2Fmain.py", "%2Fetc%2Fpasswd", "vendor/..%2F..%2F..%2Fmain.py")
        ]

    names = dict(zip([*OUTSIDE, "links.docx", "links.zip", "NUL"], answers, strict=True))
    assert [name for name, a in names.items() if a.status_code != 422] == []
    assert before == after
    assert {path for path in tmp_path.rglob("*") if "data" not in path.parts} == there
    assert all(400 <= look.status_code < 500 for look in looks)


def test_row_13_a_folders_links_out_of_it_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("# Secret\n")
    (folder / "inside.md").write_text("# Inside\n")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder)

    found = survey([Source(folder)], None, {})

    assert [file.path.name for file in found.files] == ["inside.md"]
    assert all("link out of the folder" in notice.text for notice in found.rejected)
    assert "link.md" in {Path(notice.path).name for notice in found.rejected}
