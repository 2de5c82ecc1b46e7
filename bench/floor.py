"""The least that a gateway in FastAPI does: `UPSTREAM=URL uvicorn bench.floor:app`.

It parses each chunk of the model's answer and writes it again. No route, no limit, no fallback, no
log: what the service costs beyond it is ours. `app` asks with httpx over aiohttp, as a gateway is
written; `without_httpx` with aiohttp as it is, as the service does.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypedDict

import aiohttp
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

Ask = Callable[[bytes], AsyncGenerator[bytes]]
"""The bytes of the answer to a request's body, as they come."""

URL = f"{os.environ['UPSTREAM']}/chat/completions"


class State(TypedDict):
    """What the lifespan makes."""

    ask: Ask


def _pool() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout()
    )


@asynccontextmanager
async def _through_httpx(_: FastAPI) -> AsyncIterator[State]:
    transport = AiohttpTransport(client=_pool)
    async with HttpxAiohttpClient(timeout=None, transport=transport) as http:

        async def ask(body: bytes) -> AsyncGenerator[bytes]:
            async with http.stream("POST", URL, content=body) as answer:
                async for data in answer.aiter_raw():
                    yield data

        yield {"ask": ask}


@asynccontextmanager
async def _through_aiohttp(_: FastAPI) -> AsyncIterator[State]:
    async with _pool() as pool:

        async def ask(body: bytes) -> AsyncGenerator[bytes]:
            async with pool.post(URL, data=body) as answer:
                async for data in answer.content.iter_any():
                    yield data

        yield {"ask": ask}


def _floor(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[State]]) -> FastAPI:
    floor = FastAPI(lifespan=lifespan)

    @floor.post("/v1/chat/completions", response_model=None)
    async def forward(request: Request) -> JSONResponse | StreamingResponse:
        body = await request.body()
        ask: Ask = request.state.ask
        if msgspec.json.decode(body)["stream"]:
            return StreamingResponse(_again(ask(body)), media_type="text/event-stream")
        answer = b"".join([data async for data in ask(body)])
        return JSONResponse(msgspec.json.decode(answer))

    return floor


async def _again(answer: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    rest = b""
    async for data in answer:
        *events, rest = (rest + data).split(b"\n\n")
        for event in events:
            told = event.removeprefix(b"data: ")
            if told != b"[DONE]":
                told = msgspec.json.encode(msgspec.json.decode(told))
            yield b"data: %b\n\n" % told


app = _floor(_through_httpx)
without_httpx = _floor(_through_aiohttp)
