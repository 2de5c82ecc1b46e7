"""What can go wrong before a call is made: each yields a base URL that breaks so."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import trustme

NAME = "model.invalid"
"""Resolves nowhere: RFC 6761 reserves the domain for that."""
KEY_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + b'{"data": {}}'


@asynccontextmanager
async def unresolved() -> AsyncIterator[str]:
    """A name without an address. Some resolvers only say so after a while: they are not asked."""
    real = socket.getaddrinfo

    def answer(host: str, *args: object, **kwargs: object) -> object:
        if host == NAME:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    socket.getaddrinfo = answer  # type: ignore[assignment]  # of the same shape
    try:
        yield f"http://{NAME}"
    finally:
        socket.getaddrinfo = real


@asynccontextmanager
async def refused() -> AsyncIterator[str]:
    """A port that is bound, so that nobody else listens there, and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@asynccontextmanager
async def dropped() -> AsyncIterator[str]:
    """A listener that never accepts and whose queue is full: Linux drops what more comes."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def unread() -> AsyncIterator[str]:
    """A listener whose kernel takes connections and bytes that nobody reads."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def _over_tls(
    certificate: trustme.LeafCert | None, *, good: bool = False
) -> AsyncIterator[str]:
    """A server that would answer, behind a certificate; without one it speaks plain HTTP."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
    asked: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await (reader.readuntil(b"\r\n\r\n") if context else reader.read(1)))
            writer.write(KEY_ANSWER)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
    if context is not None:
        assert bool(asked) == good, "a request goes, with its key, to a verified server only"


def broken(name: str, known: trustme.CA) -> AbstractAsyncContextManager[str]:
    """The network that the matrix calls `name`; `known` is an authority that the service trusts."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    match name:
        case "unresolved":
            return unresolved()
        case "refused":
            return refused()
        case "dropped":
            return dropped()
        case "unread":
            return unread()
        case "unknown-ca":
            return _over_tls(trustme.CA().issue_cert("127.0.0.1"))
        case "expired":
            return _over_tls(known.issue_cert("127.0.0.1", not_after=yesterday))
        case "another-host":
            return _over_tls(known.issue_cert("example.org"))
        case "good":
            return _over_tls(known.issue_cert("127.0.0.1"), good=True)
        case "no-tls":
            return _over_tls(None)
        case _:
            raise AssertionError(f"no such network: {name}")
