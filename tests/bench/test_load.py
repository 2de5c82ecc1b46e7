"""The load generator against the stand-in for the models, each in its process or this one."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.lanes import Lane, completion, search
from bench.load import load
from bench.processes import Server, free_port, serving


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[Server]:
    port = free_port()
    command: list[str | Path] = [sys.executable, "-m", "bench.upstream", str(port)]
    async with serving(command, port, tmp_path / "log") as server:
        yield server


async def test_each_request_of_a_shared_list_is_sent_once(upstream: Server) -> None:
    lane = Lane("direct", upstream, "/v1/chat/completions", completion)
    asked = iter([lane.request(f"question {n}") for n in range(20)])

    came = await load(lambda: asked, 8, seconds=float("inf"))

    assert len(came.good) == 20
    assert not came.errors
    assert not any(answer.degraded for answer in came.answers)
    assert all(0 < answer.first_ms <= answer.total_ms for answer in came.answers)


async def test_an_answer_with_too_few_pieces_is_an_error(upstream: Server) -> None:
    lane = Lane("direct", upstream, "/v1/chat/completions", completion)
    request = lane.request("question")
    request.body["messages"] = [{"role": "system", "content": "You prepare searches"}]
    request.body["messages"].append({"role": "user", "content": '"user": q\nconversation-1'})

    came = await load(lambda: iter([request]), 1)

    assert came.errors == ["0 of 32 pieces"]


async def test_the_first_piece_of_a_search_is_its_end(upstream: Server) -> None:
    lane = Lane("search", upstream, "/search", search)
    request = lane.request("question")

    assert request.body == {"query": "question"}
    assert request.pieces == 0
