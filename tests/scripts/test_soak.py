"""The soak's verdict: each thing that must not be is found, and a sound soak passes."""

from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest

from scripts.soak import Figures, Look
from scripts.soak_clients import Clients, how_it_ended


def ended(**ends: int) -> Clients:
    clients = Clients("http://127.0.0.1", "key", 1, 1)
    clients.ends = Counter({name.replace("_", " "): count for name, count in ends.items()})
    return clients


def look(memory: float = 400.0, descriptors: int = 45, tasks: int = 4, streams: int = 0) -> Look:
    return Look(memory, descriptors, tasks, streams)


SOUND = Figures(
    minutes=10,
    looks=[look()] * 40,
    before=look(),
    after=look(),
    clients=ended(whole=60, told_why=20, hung_up=20),
    at_the_end=ended(whole=10),
    exit_code=0,
    stopped_in_s=1.0,
    log='{"level":"warning","event":"Llama failed"}',
    calls=100,
)


def test_a_sound_soak_passes_and_says_so() -> None:
    assert SOUND.faults() == []
    assert "What must not be and was: nothing." in SOUND.document()


@pytest.mark.parametrize(
    ("spoiled", "fault"),
    [
        ({"looks": [look()] * 30 + [look(memory=421)] * 10}, "memory grew from 400 to 421"),
        ({"after": look(tasks=5)}, "tasks were left"),
        ({"after": look(descriptors=56)}, "descriptors were left"),
        ({"after": look(streams=1)}, "streams were left"),
        ({"clients": ended(whole=99, broken=1)}, "1 turns neither ended nor told why"),
        ({"at_the_end": ended(broken=2)}, "2 turns neither ended nor told why"),
        ({"clients": ended(told_why=90, hung_up=5, whole=5)}, "only 5% of the turns"),
        ({"clients": ended()}, "only 0% of the turns"),
        ({"exit_code": 1}, "it ended with code 1"),
        ({"log": '{"level":"error","exception":[{"exc_type":"KeyError"}]}'}, "traceback"),
        ({"log": "Traceback (most recent call last):"}, "traceback"),
        ({"log": "Task exception was never retrieved"}, "traceback"),
    ],
)
def test_what_must_not_be_is_found(spoiled: dict[str, Any], fault: str) -> None:
    figures = replace(SOUND, **spoiled)
    (found,) = figures.faults()
    assert fault in found
    assert found in figures.document()


@pytest.mark.parametrize(
    ("status", "said", "end"),
    [
        (200, b"event: done\ndata: {}\n\n", "whole"),
        (200, b"event: delta\ndata: {}\n\n", "broken"),
        (200, b'event: error\ndata: {"kind":"server"}\n\n', "told why"),
        (422, b"{}", "told why"),
        (401, b"{}", "HTTP 401"),
        (429, b"{}", "HTTP 429"),
        (500, b"{}", "HTTP 500"),
        (503, b'{"detail":"the service is closing"}', "refused: closing"),
    ],
)
def test_an_answer_s_end_is_read_from_what_came(status: int, said: bytes, end: str) -> None:
    answer = httpx.Response(status, headers={"content-type": "text/event-stream"})
    assert how_it_ended(answer, said) == end
