import asyncio

from app.events import Message
from tests.faults.breakages import LLAMA_API, REST, SAID, whole
from tests.llm.conftest import OpenRouter

QUESTION = [Message("user", "Quanto capitale serve per una PT PMA?")]


async def test_a_kept_connection_that_the_server_had_closed_costs_nobody_an_answer(
    open_router: OpenRouter,
) -> None:
    async def answers_once_a_connection(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _read(reader)
        body = whole(LLAMA_API)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
        lost.append(await _read(reader))
        writer.close()

    lost: list[bool] = []
    async with await asyncio.start_server(answers_once_a_connection, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
        async with open_router(openrouter_base_url=url, anthropic_api_key=None) as client:
            for _ in range(3):
                assert (await client.chat_async(QUESTION)).text == SAID + REST

            assert client.ledger.outcomes == {("llama-scout", "success"): 3}
        assert any(lost)


async def _read(reader: asyncio.StreamReader) -> bool:
    """Read a request; False where the connection is closed instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
    return True
