"""Files at addresses, over TLS from a server on this machine."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from app.errors import MediaRejected
from app.media.fetching import in_data_urls
from app.net import is_public
from tests.media.samples import data_url, picture

PNG = picture("PNG")


def answer(status: str, kind: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


ANSWERS = {
    "/passport.png": answer("200 OK", "image/png", PNG),
    "/moved": answer("302 Found", "text/html", b"", "Location: /passport.png\r\n"),
    "/page": answer("200 OK", "text/html", b"<p>"),
    "/large": answer("200 OK", "image/png", b"x" * 5_000_001),
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\nx",
}


@asynccontextmanager
async def server(
    authority: trustme.CA, name: str = "localhost", address: str = "localhost"
) -> AsyncIterator[tuple[str, list[str]]]:
    """A host that serves the files; yields `host:port`, and what was asked of it."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        asked.append(path)
        writer.write(ANSWERS[path])
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    async with await asyncio.start_server(serve, address, 0, ssl=context) as listening:
        yield f"{name}:{listening.sockets[0].getsockname()[1]}", asked


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """One that is trusted."""
    made = trustme.CA()
    trusted = ssl.create_default_context()
    made.configure_trust(trusted)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusted)
    return made


async def test_a_listed_host_is_asked_and_data_urls_stay(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.media.fetching.is_public", lambda _: True)
    here = data_url("image/png", PNG)
    async with server(authority) as (host, asked):
        address = f"https://{host}/passport.png"
        assert await in_data_urls([here, address], [host]) == {here: here, address: here}
    assert asked == ["/passport.png"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/moved", "answered HTTP 302"),
        ("/page", "is of no known kind"),
        ("/large", "is larger than 5,000,000 bytes"),
        ("/cut", "file 1 of 1 cannot be fetched"),
    ],
)
async def test_what_is_no_file_is_refused_and_no_redirect_is_followed(
    path: str, reason: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.media.fetching.is_public", lambda _: True)
    async with server(authority) as (host, asked):
        with pytest.raises(MediaRejected, match=reason):
            await in_data_urls([f"https://{host}{path}"], [host])
    assert asked == [path]


async def test_row_8_a_listed_name_that_leads_to_this_machine_is_not_connected_to(
    authority: trustme.CA,
) -> None:
    async with server(authority) as (host, asked):
        with pytest.raises(MediaRejected, match="file 1 of 1 cannot be fetched"):
            await in_data_urls([f"https://{host}/passport.png"], [host])
    assert asked == []


async def test_row_8_a_name_that_rebinds_is_looked_up_each_time_and_once_each_time(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, public = "files.example.org", "127.0.0.2"
    answers = [[public], ["127.0.0.1"], [public, "127.0.0.1"], ["127.0.0.1", public]]

    def leading(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        assert host == name
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in answers.pop(0)]

    monkeypatch.setattr("app.media.fetching.is_public", lambda address: address == public)
    async with server(authority, name, public) as (host, asked):
        address = f"https://{host}/passport.png"
        monkeypatch.setattr(socket, "getaddrinfo", leading)
        assert await in_data_urls([address], [host])
        assert len(answers) == 3
        for _ in range(3):
            with pytest.raises(MediaRejected, match="file 1 of 1 cannot be fetched"):
                await in_data_urls([address], [host])
    assert asked == ["/passport.png"]
    assert answers == []


@pytest.mark.parametrize("written", ["https://x@{host}/a", "https://{host}.evil.example/a"])
async def test_row_8_what_only_looks_like_a_listed_host_is_refused(written: str) -> None:
    host = "files.example.org"
    with pytest.raises(MediaRejected, match="FILE_HOSTS does not list"):
        await in_data_urls([written.format(host=host)], [host])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True),
        ("127.0.0.1", False), ("169.254.169.254", False), ("::1", False), ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False), ("64:ff9b::7f00:1", False), ("fdaa::3", False),
        ("2002:7f00:1::", False), ("2001:0:7f00:1::", False), ("64:ff9b:1::7f00:1", False),
        ("fec0::1", False), ("::7f00:1", False), ("::ffff:0:7f00:1", False), ("::", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
    ],
)  # fmt: skip
def test_row_8_no_private_address_is_public(address: str, *, public: bool) -> None:
    assert is_public(address) is public
