import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from app.errors import AnswerUnavailable, FailureKind
from app.events import Message
from tests.faults.breakages import LLAMA_API, REST, SAID, whole
from tests.llm.conftest import OpenRouter
from tests.upstream import Upstream, Wire, haiku_says, llama_chunk, llama_says

QUESTION = [Message("user", "Quanto capitale serve per una PT PMA?")]
AT_ONCE = 8
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Server:
    """Answers one question a connection, keeps it, and closes it when it brings another."""

    def __init__(self, *, answered_together: int = 1) -> None:
        self.questions = 0
        self.asked: bytes = b""
        self.read_in_vain = 0
        self._together = answered_together

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One that asks for the key is not kept.
        head = await _head(reader)
        if head.startswith(b"POST"):
            self.asked = head.splitlines()[0]
            self.questions += 1
            while self.questions < self._together:  # so that each has a connection of its own
                await asyncio.sleep(0.001)
            body = whole(LLAMA_API)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            self.read_in_vain += (await _head(reader)).startswith(b"POST")
        writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A request's head, once its body is read too; empty where the connection ended."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
    return head


async def test_a_kept_connection_that_the_server_had_closed_costs_nobody_an_answer(
    open_router: OpenRouter,
) -> None:
    server = Server()
    async with (
        server.running() as url,
        open_router(openrouter_base_url=url, anthropic_api_key=None) as client,
    ):
        for _ in range(3):
            assert (await client.chat_async(QUESTION)).text == SAID + REST

        assert client.ledger.outcomes == {("llama-scout", "success"): 3}
        # Every request that was read stands in the ledger: three answered, the others lost.
        assert client.ledger.lost_requests == {"llama-scout": server.read_in_vain}
    assert server.read_in_vain


def answered(text: str) -> bytes:
    """A whole answer with its head, after which the connection may be kept."""
    body = LLAMA_API.answer(text)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


@pytest.mark.parametrize(
    "unasked",
    [
        pytest.param(answered("Di un altro."), id="an answer sent twice"),
        pytest.param(TIMED_OUT, id="a goodbye"),
        pytest.param(TIMED_OUT[:20], id="half a goodbye"),
        pytest.param(b"rubbish", id="rubbish"),
    ],
)
async def test_what_a_server_says_unasked_on_a_kept_connection_answers_no_question(
    open_router: OpenRouter, unasked: bytes
) -> None:
    asking: list[asyncio.StreamWriter] = []
    questions = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal questions
        while (await _head(reader)).startswith(b"POST"):
            questions += 1
            asking.append(writer)
            writer.write(answered(f"Risposta {questions}."))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
        async with open_router(openrouter_base_url=url, anthropic_api_key=None) as client:
            for number in range(1, 4):
                answer = await client.chat_async(QUESTION)
                assert answer.text == f"Risposta {number}."
                assert not asking[-1].is_closing()
                asking[-1].write(unasked)
                for _ in range(50):  # both ends share one loop: some turns of it, and it is read
                    await asyncio.sleep(0)

            assert client.ledger.outcomes == {("llama-scout", "success"): 3}


async def test_a_cookie_is_neither_kept_nor_in_the_way_of_the_next_question(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def sets_a_cookie(wire: Wire) -> None:
        cookies = "Set-Cookie: a=b\r\nSet-Cookie: \xff=\xfe\r\nContent-Length: 0"
        await wire.raw(f"HTTP/1.1 500 X\r\n{cookies}\r\n\r\n".encode("latin-1"))

    upstream.llama(sets_a_cookie, llama_says("Llama."))
    upstream.haiku(sets_a_cookie, haiku_says("Haiku."))
    async with open_router(openrouter_base_url=f"{upstream.url}/api/v1") as client:
        assert (await client.chat_async(QUESTION)).text == "Haiku."
        assert (await client.chat_async(QUESTION)).text == "Llama."

    assert not any("cookie" in call.headers for call in upstream.calls)


async def test_a_server_that_reads_and_hangs_up_is_asked_twice_at_the_most(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    server = Server(answered_together=AT_ONCE)
    async with server.running() as url, open_router(openrouter_base_url=url) as client:
        await asyncio.gather(*(client.chat_async(QUESTION) for _ in range(AT_ONCE)))
        upstream.haiku(haiku_says("Eccomi."))
        assert (await client.chat_async(QUESTION)).text == "Eccomi."

    assert server.read_in_vain <= 2


async def test_the_environments_proxy_is_asked_for_what_it_does_not_except(
    open_router: OpenRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, direct = Server(), Server()
    async with proxy.running() as proxy_url, direct.running() as url:
        monkeypatch.setenv("http_proxy", proxy_url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for base_url in ("http://models.example/api/v1", url):
            async with open_router(openrouter_base_url=base_url, anthropic_api_key=None) as client:
                assert (await client.chat_async(QUESTION)).text == SAID + REST

    assert proxy.asked == b"POST http://models.example/api/v1/chat/completions HTTP/1.1"
    assert direct.asked == b"POST /api/v1/chat/completions HTTP/1.1"


async def test_no_limit_of_the_transports_own_cuts_off_a_long_answer(
    upstream: Upstream, open_router: OpenRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", aiohttp.ClientTimeout(total=0.05))

    async def slow(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Dieci "))
        await asyncio.sleep(0.2)  # four times the limit
        await wire.event(llama_chunk("miliardi.", "stop"))
        await wire.event("[DONE]")
        await wire.end()

    upstream.llama(slow)
    async with open_router() as client:
        assert (await client.chat_async(QUESTION)).text == "Dieci miliardi."


async def test_what_is_compressed_unasked_is_not_undone(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    packed = gzip.compress(b'{"error": {"type": "rate_limit_error"}}')

    async def answer(wire: Wire) -> None:
        await wire.head(500, "application/json", Content_Encoding="gzip")
        await wire.chunk(packed)
        await wire.end()

    upstream.llama(answer)
    upstream.haiku(answer, answer)  # the last one is asked again
    async with open_router() as client:
        with pytest.raises(AnswerUnavailable) as caught:
            await client.chat_async(QUESTION)

    kinds = [failure.kind for failure in caught.value.failures.values()]
    assert kinds == [FailureKind.SERVER, FailureKind.SERVER]


async def test_of_two_headers_that_say_how_long_to_wait_the_longer_counts(
    upstream: Upstream, open_router: OpenRouter
) -> None:
    async def answer(wire: Wire) -> None:
        waits = "Retry-After: 7\r\nRetry-After: 9"
        await wire.raw(f"HTTP/1.1 429 X\r\n{waits}\r\nContent-Length: 0\r\n\r\n".encode())

    upstream.llama(answer)
    async with open_router(anthropic_api_key=None) as client:
        with pytest.raises(AnswerUnavailable) as caught:
            await client.chat_async(QUESTION)

    (failure,) = caught.value.failures.values()
    assert failure.retry_after_s == 9
