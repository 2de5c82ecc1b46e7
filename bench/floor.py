"""The least that a gateway in FastAPI does: `UPSTREAM=URL uvicorn bench.floor:app`.

It parses each chunk of the model's answer and writes it again, over the transport that the
service uses. No route, no limit, no fallback, no log: what the service costs beyond it is ours.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import aiohttp
import httpx
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient


class State(TypedDict):
    """What the lifespan makes."""

    http: httpx.AsyncClient


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[State]:
    def pool() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    transport = AiohttpTransport(client=pool)
    url = os.environ["UPSTREAM"]
    async with HttpxAiohttpClient(base_url=url, timeout=None, transport=transport) as http:
        yield {"http": http}


app = FastAPI(lifespan=_lifespan)


@app.post("/v1/chat/completions", response_model=None)
async def forward(request: Request) -> JSONResponse | StreamingResponse:
    """Pass a chat completion on."""
    body = await request.body()
    http: httpx.AsyncClient = request.state.http
    if msgspec.json.decode(body)["stream"]:
        return StreamingResponse(_chunks(http, body), media_type="text/event-stream")
    answer = await http.post("/chat/completions", content=body)
    return JSONResponse(msgspec.json.decode(answer.content))


async def _chunks(http: httpx.AsyncClient, body: bytes) -> AsyncGenerator[bytes]:
    rest = b""
    async with http.stream("POST", "/chat/completions", content=body) as answer:
        async for data in answer.aiter_raw():
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                told = event.removeprefix(b"data: ")
                if told != b"[DONE]":
                    told = msgspec.json.encode(msgspec.json.decode(told))
                yield b"data: %b\n\n" % told
