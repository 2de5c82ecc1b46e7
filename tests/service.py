"""The service under a real uvicorn, and a client that reads what it sends."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from app.llm.llama_scout_client import LlamaScoutClient
from app.main import create_app
from app.server import server_config
from app.settings import Settings


def settings_for(data_dir: Path, **values: Any) -> Settings:
    """Settings from these values alone: no environment, no `.env`."""
    return Settings(_env_file=None, data_dir=data_dir, **{"log_format": "json", **values})


class PromptServer(uvicorn.Server):
    """uvicorn without its waits: it looks ten times a second whether it is to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until `stop` is set; a tick each second keeps the Date header right."""
        counter = 0
        while not self.stop.is_set():
            await self.on_tick(counter)
            counter += 10
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), 1)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The service on a free port; yields a client of it."""
    async with running_inside(settings) as (client, _):
        yield client


@asynccontextmanager
async def running_inside(
    settings: Settings,
) -> AsyncIterator[tuple[httpx.AsyncClient, LlamaScoutClient]]:
    """The service on a free port; yields a client of it, and the router inside."""
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it on,
    # every request over a kept connection waits 40 ms for a delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = PromptServer(server_config(create_app(settings), settings))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            assert not serving.done(), "the service did not start"
            await asyncio.sleep(0.005)
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield client, server.lifespan.state["client"]
    finally:
        server.stop.set()
        await serving
        listener.close()


async def until_ready(client: httpx.AsyncClient) -> None:
    """Wait until the index is usable."""
    async with asyncio.timeout(60):
        while (await client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class SentEvent:
    """A server-sent event as a front end reads it."""

    name: str
    data: Any


async def sent_events(response: httpx.Response) -> AsyncIterator[SentEvent]:
    """Read a stream as the HTML standard says, comments left out."""
    name = "message"
    data: list[str] = []
    async for line in response.aiter_lines():
        if not line and data:
            yield SentEvent(name, json.loads("\n".join(data)))
            name, data = "message", []
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))


async def stream_chat(client: httpx.AsyncClient, **body: Any) -> list[SentEvent]:
    """All events of one streamed turn."""
    async with client.stream("POST", "/chat", json={**body, "stream": True}) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in sent_events(response)]


def text_of(events: list[SentEvent]) -> str:
    """The answer that a stream spelled out."""
    return "".join(event.data["text"] for event in events if event.name == "delta")
