"""The least that a gateway in FastAPI does: `UPSTREAM=URL uvicorn bench.floor:app`.

It parses each chunk of the model's answer and writes it again, over the transport that the
service uses. No route, no limit, no fallback, no log: what the service costs beyond it is ours.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import aiohttp
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse


class State(TypedDict):
    """What the lifespan makes."""

    upstream: aiohttp.ClientSession


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[State]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout()
    ) as upstream:
        yield {"upstream": upstream}


URL = f"{os.environ['UPSTREAM']}/chat/completions"
app = FastAPI(lifespan=_lifespan)


@app.post("/v1/chat/completions", response_model=None)
async def forward(request: Request) -> JSONResponse | StreamingResponse:
    """Pass a chat completion on."""
    body = await request.body()
    upstream: aiohttp.ClientSession = request.state.upstream
    if msgspec.json.decode(body)["stream"]:
        return StreamingResponse(_chunks(upstream, body), media_type="text/event-stream")
    async with upstream.post(URL, data=body) as answer:
        return JSONResponse(msgspec.json.decode(await answer.read()))


async def _chunks(upstream: aiohttp.ClientSession, body: bytes) -> AsyncGenerator[bytes]:
    rest = b""
    async with upstream.post(URL, data=body) as answer:
        async for data in answer.content.iter_any():
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                told = event.removeprefix(b"data: ")
                if told != b"[DONE]":
                    told = msgspec.json.encode(msgspec.json.decode(told))
                yield b"data: %b\n\n" % told
