"""A thousand faults, drawn at random: nothing is left behind, and the books are right."""

import asyncio
import random
import re
from collections import Counter
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.errors import AnswerUnavailable, ProviderError
from app.events import Failed, Finished, LLMEvent, Message, RouteChosen, TextDelta
from app.llm.chat_result import ChatResult
from app.llm.ledger import CallRecord
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.turn import CallOptions
from tests.faults.breakages import HAIKU_API, LLAMA_API, REST, SAID, Api, whole
from tests.faults.conftest import QUESTION, noting, outcomes, router
from tests.faults.matrix import MATRIX, Fault, Models
from tests.upstream import Step, Upstream, Wire, haiku_says, llama_says

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

TURNS = 1000
AT_ONCE = 16
SEED = 20261122
HEALTHY = 0.25
LEAVES = 0.05
TOO_HEAVY = {"line", "after-line", "bomb", "bomb-500", "endless", "500-endless", "bytes", "letters"}
"""Rows of their own: many of these would be a test of the machine, or of one's patience."""


class Dice:
    """Plays a random fault to each call, and notes what the ledger ought to say of it."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.served: Counter[tuple[str, str]] = Counter()
        self.leave: dict[str, asyncio.Event] = {}
        self.sent: list[tuple[str, bytearray]] = []
        """The models' streams, byte by byte."""

    def step(self, ai: str, api: Api, mine: Models) -> Step:
        faults = [
            f
            for f in MATRIX
            if f.breakage and f.of in (Models.BOTH, mine) and f.name not in TOO_HEAVY
        ]
        # Few of those that wait for a limit, which may then be long enough for a busy machine.
        weights = [0.1 if fault.until_s else 1.0 for fault in faults]

        async def play(wire: Wire) -> None:
            wire = Noted(wire)
            self.sent.append((ai, wire.sent))
            roll = self.random.random()
            if roll < LEAVES:
                self.served[ai, "cancelled"] += 1
                self.leave[turn_of(wire)].set()
                await wire.hang()
                return
            if roll < LEAVES + HEALTHY:
                self.served[ai, "success"] += 1
                await wire.head()
                await wire.chunk(api.answer(f" {REST}") if goes_on(wire) else whole(api))
                await wire.end()
                return
            (fault,) = self.random.choices(faults, weights)
            outcome = outcome_of(fault, wire)
            self.served[ai, outcome] += 1
            assert fault.breakage is not None
            await fault.breakage(wire, api)

        return play


class Noted(Wire):
    """Keeps what is streamed on the wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire._writer, wire.call, keeps_connection=wire.keeps_connection)
        self.sent = bytearray()

    async def chunk(self, data: bytes) -> None:
        self.sent += data
        await super().chunk(data)


def billed(sent: list[tuple[str, bytearray]]) -> tuple[float, int]:
    """What the streams said: Llama's dollars, and the tokens that Haiku wrote.

    Up to the beginning of a second answer: there the router hangs up.
    """
    dollars, tokens = 0.0, 0
    for ai, whole_stream in sent:
        first, *rest = re.split(rb'"gen-2"|event: message_start', whole_stream)
        stream = rest[0] if ai == "haiku" and rest else first
        if ai == "llama-scout":
            dollars += float(([0.0, *re.findall(rb'"cost": ([\d.]+)', stream)])[-1])
            continue
        # The first is of the beginning only.
        _, *written = [0, *re.findall(rb'"output_tokens": (\d+)', stream)]
        tokens += int(written[-1]) if len(written) > 1 else 0
    return dollars, tokens


def turn_of(wire: Wire) -> str:
    """The turn's name, which its first question holds."""
    name: str = next(m["content"] for m in wire.call.json["messages"] if m["role"] == "user")
    return name


def goes_on(wire: Wire) -> bool:
    """Whether words that were said already are to be continued."""
    return bool(wire.call.json["messages"][-1]["role"] == "assistant")


def outcome_of(fault: Fault, wire: Wire) -> str:
    """What comes of it; the words of an answer that begins anew are no continuation."""
    if goes_on(wire) and fault.kind in (None, "empty"):
        return "seam"
    return fault.kind or "success"


async def turn(client: LlamaScoutClient, name: str, dice: Dice, *, streamed: bool) -> None:
    """One turn, whose caller leaves when the upstream says so."""
    dice.leave[name] = asyncio.Event()
    taking = asyncio.create_task(take(client, name, streamed=streamed))
    leaving = asyncio.create_task(dice.leave[name].wait())
    await asyncio.wait({taking, leaving}, return_when=asyncio.FIRST_COMPLETED)
    if leaving.done():
        taking.cancel()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    with suppress(asyncio.CancelledError, AnswerUnavailable, ProviderError):
        await taking


async def take(client: LlamaScoutClient, name: str, *, streamed: bool) -> None:
    """The whole turn, and whether its events are in order."""
    options = CallOptions(max_tokens=100, buffered=not streamed)
    stream = client.stream([Message("user", name)], options)
    async with aclosing(stream):
        events: list[LLMEvent] = [event async for event in stream]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert [e for e in events if isinstance(e, Finished | Failed)] == [events[-1]]
    assert isinstance(events[0], RouteChosen)
    if isinstance(events[-1], Failed):
        assert streamed
        assert events[-1].partial_text == text
    else:
        # Of two whole answers, or of one and a half, it would be longer.
        assert text == SAID + REST
        assert ChatResult.from_events(events).text == text


async def test_a_thousand_random_faults(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    monkeypatch.setattr("random.uniform", lambda least, _: least / 10)
    monkeypatch.setattr(upstream, "keeps_connections", True)
    # The bill is compared to the cent: a busy machine must not come too late for it.
    for grace in ("USAGE_GRACE_S", "USAGE_AFTER_FAILURE_S"):
        monkeypatch.setattr(f"app.llm.openrouter.{grace}", 5.0)
    dice, entries = Dice(), list[CallRecord]()
    tasks, before = len(asyncio.all_tasks()), descriptors()
    # A third of the total is kept for Haiku: more than its limit to the first content.
    limits = {
        "connect_timeout_s": 30,
        "first_content_timeout_s": 8,
        "idle_timeout_s": 8,
        "total_timeout_s": 60,
    }
    async with router(upstream, circuit_breaker=False, **limits) as client:
        # What is imported late takes a second on a busy machine: not from the first calls' time.
        upstream.llama(llama_says("Llama."))
        upstream.haiku(haiku_says("Haiku."))
        await client.chat_async(QUESTION)
        await client.chat_async(QUESTION, model="haiku")
        upstream.clear()
        warm_up = client.ledger.cost_usd
        warm_up_outcomes = Counter(client.ledger.outcomes)
        monkeypatch.setattr(client.ledger, "record", noting(client.ledger, entries))
        # Each call takes the next roll, whichever turn it is of.
        llama = dice.step("llama-scout", LLAMA_API, Models.LLAMA)
        haiku = dice.step("haiku", HAIKU_API, Models.HAIKU)
        upstream.llama(*[llama] * 3 * TURNS)
        upstream.haiku(*[haiku] * 3 * TURNS)
        names = iter(range(TURNS))

        async def one_after_the_other() -> None:
            for number in names:
                await turn(client, f"turn {number}", dice, streamed=bool(number % 2))

        with capture_logs():
            await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))

        # A kept connection that breaks at once is no fault of the model's: asked once more.
        lost = Counter(client.ledger.lost_requests)
        assert lost["llama-scout"]
        assert lost["haiku"]
        assert len(entries) + lost.total() == len(upstream.calls)
        assert Counter(client.ledger.outcomes) - warm_up_outcomes == outcomes(entries)
        read = Counter({(ai, "connection"): count for ai, count in lost.items()})
        assert outcomes(entries) + read == dice.served
        by_bill = [entry for entry in entries if not entry.usage.estimated]
        dollars, tokens = billed(dice.sent)
        assert dollars == pytest.approx(
            sum(entry.cost_usd or 0 for entry in by_bill if entry.ai == "llama-scout")
        )
        assert tokens == sum(e.usage.output_tokens for e in by_bill if e.ai == "haiku")
        cost = sum(entry.cost_usd or 0 for entry in entries)
        assert client.ledger.cost_usd - warm_up == pytest.approx(cost)
    upstream.clear()
    async with asyncio.timeout(30):
        # The process opens a few of its own meanwhile; a thousand turns leave none.
        while (
            upstream.connections or len(asyncio.all_tasks()) > tasks or descriptors() > before + 10
        ):
            await asyncio.sleep(0.005)
