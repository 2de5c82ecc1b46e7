"""Both models, played on loopback for `scripts/attack.py`: what they answer is in the question."""

import asyncio
from itertools import count
from typing import Any

from tests.upstream import (
    LLAMA_PATH,
    Call,
    Step,
    Upstream,
    Wire,
    haiku_says,
    llama_chunk,
    llama_says,
    llama_usage,
)

SHOW = "SHOW-THE-PICTURES"
NEW_NAME = "NEW-NAME"
SLOW = "SLOWLY"
LONG = "AT-LENGTH"
LONG_ANSWER = "capitale " * 25_000
PRICE_USD = 1.0
"""Of a million tokens of a prompt or an answer."""
LARGE_PROMPT_BYTES = 200_000
FIRST_WORD_OF_LARGE_S = 3.3
PICTURES = " ".join(f"![{n}](https://evil.example/{n}.png)" for n in range(16))
LINKS = f"{PICTURES} [m](mailto:a@evil.example) [x](xmpp:a@evil.example)"


class Models(Upstream):
    """Answers every call; the requests of the service's own probes too."""

    def __init__(self) -> None:
        super().__init__()
        self._names = count()

    def _step_for(self, call: Call) -> Step:
        if call.method == "GET":
            return super()._step_for(call)
        if call.path != LLAMA_PATH:
            return haiku_says("Haiku.")
        text = call.body.decode()
        if SHOW in text:
            return llama_says(LINKS)
        if NEW_NAME in text:
            return _named(f"made-up/{next(self._names)}-" + "x" * 10_000)
        if SLOW in text:
            return _slowly
        if LONG in text:
            return llama_says(LONG_ANSWER)
        if len(call.body) > LARGE_PROMPT_BYTES:
            return _late
        return llama_says("Dieci miliardi.")


def _named(model: str) -> Step:
    async def played(wire: Wire) -> None:
        await wire.head()
        for chunk in (llama_chunk("Sì."), llama_chunk(finish="stop"), llama_usage()):
            named: dict[str, Any] = {**chunk, "model": model}
            await wire.event(named)
        await wire.event("[DONE]")
        await wire.end()

    return played


async def _slowly(wire: Wire) -> None:
    await wire.head()
    for _ in range(20):
        await wire.event(llama_chunk("Dieci miliardi. "))
        await asyncio.sleep(0.1)
    await wire.event(llama_chunk(finish="stop"))
    await wire.event(llama_usage())
    await wire.event("[DONE]")
    await wire.end()


async def _late(wire: Wire) -> None:
    await asyncio.sleep(FIRST_WORD_OF_LARGE_S)
    await llama_says("Dieci miliardi.")(wire)
