"""Row 29 of the security matrix: JSON of a shape that nobody needs."""

import json
import time
from contextlib import suppress
from typing import Any

import httpx
import jiter
import pytest
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from app.api.ai_sdk import UIChatIn
from app.api.openai_request import CompletionIn
from app.api.schemas import ChatIn
from app.api.search import SearchIn
from app.api.strict_json import (
    MAX_ESCAPES,
    MAX_ITEMS,
    MAX_NAMES,
    MAX_VALUES,
    require_few_values,
    require_small,
)
from tests.attacking import Victim

ALLOWED = 11_900_000
"""Bytes; a turn may have twelve million."""
GROWTH_LIMIT_MB = 150
"""The body itself, its pieces and its text are a few of it; its values would be gigabytes."""
HEALTH_LIMIT_S = 2.0
PATHS = ("/chat", "/v1/chat/completions", "/api/chat")


def filled(piece: bytes, end: bytes = b"") -> bytes:
    return piece * ((ALLOWED - len(end)) // len(piece)) + end


SHAPES = {
    "names": b"{" + b",".join(b'"%07d":1' % n for n in range(990_000)) + b"}",
    "names of a message": b'{"messages":[{' + filled(b'"a":1,')[:-100] + b'"b":1}]}',
    "lists": b"[" + filled(b"[],")[:-10] + b"1]",
    "objects": b"[" + filled(b"{},")[:-10] + b"1]",
    "numbers": b'{"messages":[' + filled(b"1,")[:-20] + b"1]}",
    "strings": b'{"messages":[' + filled(b'"",')[:-20] + b'""]}',
    "escapes": b'{"message":"' + filled(rb"\n")[:-20] + b'"}',
    "quotes": b'{"message":"' + filled(rb"\"")[:-20] + b'"}',
    "a long name": b'{"' + filled(b"a")[:-20] + b'":1}',
    "a long number": b'{"max_tokens":0.' + filled(b"1")[:-20] + b"}",
    "depth": filled(b"["),
    "spaces": filled(b" ", b"{}"),
    "commas in a text": b'{"message":"' + filled(b",")[:-20] + b'"}',
}


@pytest.mark.parametrize("name", SHAPES)
def test_row_29_json_without_bounds_is_refused_at_once_with_memory_flat(
    name: str, attacked: Victim
) -> None:
    headers = {"content-type": "application/json"}
    with attacked.watched() as seen:
        for path in PATHS:
            refused = httpx.post(
                attacked.url + path, content=SHAPES[name], headers=headers, timeout=60
            )
            assert 400 <= refused.status_code < 500, refused.text[:300]
            assert len(refused.content) < 20_000

    assert seen.alive
    assert seen.grown_mb < GROWTH_LIMIT_MB
    assert seen.slowest_health_s < HEALTH_LIMIT_S


MESSAGE = {"role": "user", "content": "a"}
LARGEST: dict[str, Any] = {
    "unknown names": {f"x{n}": 1 for n in range(MAX_NAMES)},
    "unknown names of messages": {
        "messages": [MESSAGE | {f"x{n}": 1 for n in range(140)}] * 200,
    },
    "parts": {"messages": [{"role": "user", "parts": [{"type": "x"}] * 70}] * 200},
    "wrong parts": {"messages": [{"role": "user", "parts": [1] * 140}] * 200},
    "translations": {"query": "a", "translations": {str(n): "a" for n in range(MAX_NAMES)}},
    "ids": {
        "query": "a",
        "filters": {"document_ids": [1] * MAX_ITEMS, "languages": [1] * MAX_ITEMS},
    },
    "texts": {
        "model": "zantara",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a" * 1500}] * 20}]
        * 200,
    },
    "a text": {"message": "\n" * 900_000 + "," * 10_000_000},
}


@pytest.mark.parametrize("name", LARGEST)
def test_row_29_no_body_of_allowed_size_takes_more_than_a_tenth_of_a_second(name: str) -> None:
    text = json.dumps(LARGEST[name], separators=(",", ":")).encode()

    def passed_through() -> float:
        """Seconds of the processor, of which others on this machine have theirs."""
        began = time.process_time()
        require_few_values(text)
        parsed = jiter.from_json(text, allow_inf_nan=False, catch_duplicate_keys=True)
        require_small(parsed)
        for model in (ChatIn, SearchIn, UIChatIn, CompletionIn):
            with suppress(ValidationError):
                model.model_validate(parsed)
        return time.process_time() - began

    assert min(passed_through() for _ in range(3)) < 0.1


def refused(body: Any) -> str:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(HTTPException) as found:
        require_few_values(text)
        require_small(jiter.from_json(text))
    assert found.value.status_code == 400
    return str(found.value.detail)


def taken(body: Any) -> None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    require_few_values(text)
    require_small(jiter.from_json(text))


def test_the_bounds_are_of_values_not_of_characters_that_look_like_them() -> None:
    taken([[1] * 999] * 30)
    assert "values" in refused([[1] * 1000] * 30 + [1])
    taken({"a": ',[{"' * MAX_VALUES})
    taken({"a": "\\" * 300_000 + '\\",' * 50_000})
    assert "backslashes" in refused({"a": "\\" * MAX_ESCAPES})
    taken([{str(n): 1 for n in range(MAX_NAMES)}])
    assert "names" in refused([{str(n): 1 for n in range(MAX_NAMES + 1)}])
    taken({"a": [1] * MAX_ITEMS})
    assert "items" in refused({"a": [1] * (MAX_ITEMS + 1)})
    taken(rb'["\\u0000"]')
    assert "NUL" in refused(rb'["\\\u0000"]')
    # A string that ends where an escape seems to be hides nothing.
    assert "values" in refused(rb'["\\",' + b"1," * MAX_VALUES + b'"\\\\"]')
