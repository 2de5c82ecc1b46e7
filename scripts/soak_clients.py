"""Who asks in the soak, and who answers: clients that hang up, models with random faults."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.breakages import HAIKU_API, LLAMA_API, Api, step, whole
from tests.faults.matrix import MATRIX, Models
from tests.faults.test_random import HEALTHY, TOO_HEAVY
from tests.upstream import HAIKU_PATH, LLAMA_PATH, Call, Step, Upstream, Wire

HANGS_UP = 0.15
QUESTIONS = (
    "Quanto capitale serve per una PT PMA?",
    "How long does an investor KITAS take?",
    "Berapa tarif PPN di Indonesia?",
    "Which KBLI code has a restaurant?",
)


class RandomUpstream(Upstream):
    """Both models: a quarter of the calls are answered, the others meet a fault of the matrix."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.served: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311 - dice, and no secret
        self._faults = {
            path: [
                fault
                for fault in MATRIX
                if fault.breakage
                and fault.of in (Models.BOTH, mine)
                and fault.name not in TOO_HEAVY
            ]
            for path, mine in ((LLAMA_PATH, Models.LLAMA), (HAIKU_PATH, Models.HAIKU))
        }

    def _step_for(self, call: Call) -> Step:
        if call.path not in self._faults:
            return super()._step_for(call)
        api = LLAMA_API if call.path == LLAMA_PATH else HAIKU_API
        if self._random.random() < HEALTHY:
            self.served["whole"] += 1
            return _slowly(api)
        faults = self._faults[call.path]
        # Few of those that wait for a limit: they would only make the soak shorter.
        (fault,) = self._random.choices(faults, [0.1 if f.until_s else 1.0 for f in faults])
        self.served[fault.name] += 1
        assert fault.breakage
        return step(fault.breakage, api)


def _slowly(api: Api) -> Step:
    """A whole answer in pieces, so that somebody can hang up in the middle."""

    async def played(wire: Wire) -> None:
        await wire.head()
        content = whole(api)
        for start in range(0, len(content), 400):
            await wire.chunk(content[start : start + 400])
            await asyncio.sleep(0.02)
        await wire.end()

    return played


@dataclass
class Clients:
    """So many at once, each asking again and again over all the doors, until told to stop."""

    url: str
    key: str
    count: int
    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    """How the turns ended; `broken` are those that neither ended nor told why."""
    stopping: bool = False

    async def run(self) -> None:
        """Ask until `stopping`."""
        await asyncio.gather(*(self._one(n) for n in range(self.count)))

    async def _one(self, number: int) -> None:
        chance = random.Random(self.seed + number)  # noqa: S311 - dice
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
            limits=limits,
        ) as client:
            while not self.stopping:
                end = await self._turn(client, chance)
                self.ends[end] += 1
                if end.startswith("refused"):
                    await asyncio.sleep(0.2)

    async def _turn(self, client: httpx.AsyncClient, chance: random.Random) -> str:
        path, body = _asked(chance)
        leaves_after = chance.randrange(6) if chance.random() < HANGS_UP else None
        said = b""
        try:
            async with client.stream("POST", path, json=body) as answer:
                async for piece in answer.aiter_raw():
                    said += piece
                    leaves_after = leaves_after and leaves_after - 1
                    if leaves_after == 0:
                        return "hung up"
                return how_it_ended(answer, said)
        except httpx.HTTPError as error:
            with suppress(UnicodeDecodeError):
                print("broken:", path, type(error).__name__, error, said[-200:].decode())
            return "broken"


def _asked(chance: random.Random) -> tuple[str, Any]:
    question = chance.choice(QUESTIONS)
    streamed = chance.random() < 0.75
    part = {"role": "user", "parts": [{"type": "text", "text": question}]}
    completion = {"role": "user", "content": question}
    return chance.choice(
        [
            ("/chat", {"message": question, "stream": streamed, "max_tokens": 100}),
            ("/api/chat", {"messages": [part], "max_tokens": 100}),
            (
                "/v1/chat/completions",
                {"model": "zantara", "messages": [completion], "stream": streamed},
            ),
        ]
    )


_OF_THE_MODELS = (400, 413, 422)
"""What the models' own refusals become: 400 and 422 of what was asked, 413 of its length."""


def how_it_ended(answer: httpx.Response, said: bytes) -> str:
    """Of a turn whose connection has not failed."""
    if answer.status_code == 503:
        return "refused: closing" if b"is closing" in said else "refused: full"
    if answer.status_code != 200:
        known = answer.status_code in _OF_THE_MODELS
        return "told why" if known else f"HTTP {answer.status_code}"
    if answer.headers["content-type"].startswith("application/json"):
        return "whole"
    if b"event: error" in said or b'"type":"error"' in said or b'data: {"error"' in said:
        return "told why"
    ended = b"event: done" in said or said.rstrip().endswith(b"data: [DONE]")
    return "whole" if ended else "broken"
