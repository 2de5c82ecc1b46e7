"""A local stand-in for both model APIs: made-up answers after made-up times.

For trying the benchmark without a key. Nothing that it yields is a measurement.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

FIRST_WORD_S = {"llama-scout": 0.004, "haiku": 0.006}
PIECES = 8
LLAMA_PRICES = 0.10, 0.30
"""US dollars per million tokens, for the `cost` that OpenRouter states."""


@asynccontextmanager
async def stand_in(seed: int = 0) -> AsyncIterator[dict[str, str]]:
    """Serve on a free loopback port; yields the settings that point there."""
    chance = random.Random(seed)  # noqa: S311 - makes up figures, guards nothing

    async def llama(request: web.Request) -> web.StreamResponse:
        return await _stream(request, FIRST_WORD_S["llama-scout"], chance, _llama_events)

    async def haiku(request: web.Request) -> web.StreamResponse:
        return await _stream(request, FIRST_WORD_S["haiku"], chance, _haiku_events)

    app = web.Application()
    app.router.add_post("/api/v1/chat/completions", llama)
    app.router.add_post("/v1/messages", haiku)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield {
            "openrouter_base_url": f"http://127.0.0.1:{port}/api/v1",
            "anthropic_base_url": f"http://127.0.0.1:{port}",
            "openrouter_api_key_llama": "sk-or-v1-simulated",
            "anthropic_api_key": "sk-ant-simulated",
        }
    finally:
        await runner.cleanup()


async def _stream(
    request: web.Request, first_word_s: float, chance: random.Random, events: Any
) -> web.StreamResponse:
    asked = await request.json()
    read = len(json.dumps(asked["messages"])) // 4
    written = chance.randint(20, asked["max_tokens"])
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await asyncio.sleep(first_word_s * chance.lognormvariate(0, 0.3))
    for name, data in events(asked["model"], read, written):
        prefix = f"event: {name}\n" if name else ""
        await response.write(f"{prefix}data: {data}\n\n".encode())
    return response


def _llama_events(model: str, read: int, written: int) -> Iterator[tuple[str, str]]:
    def chunk(content: str | None, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
        return json.dumps({"id": "gen-simulated", "model": model, "choices": [choice]})

    for _ in range(PIECES):
        yield "", chunk("simulated ")
    yield "", chunk(None, "stop")
    cost = (read * LLAMA_PRICES[0] + written * LLAMA_PRICES[1]) / 1e6
    usage = {"prompt_tokens": read, "completion_tokens": written, "cost": cost}
    yield "", json.dumps({"id": "gen-simulated", "model": model, "choices": [], "usage": usage})
    yield "", "[DONE]"


def _haiku_events(model: str, read: int, written: int) -> Iterator[tuple[str, str]]:
    message = {
        "id": "msg_simulated", "type": "message", "role": "assistant", "model": model,
        "content": [], "usage": {"input_tokens": read, "output_tokens": 1},
    }  # fmt: skip
    delta = {"type": "text_delta", "text": "simulated "}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[{"type": "content_block_delta", "index": 0, "delta": delta}] * PIECES,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": written},
        },
        {"type": "message_stop"},
    ]
    for event in events:
        yield event["type"], json.dumps(event)
