"""Fixtures that more than one folder needs."""

import os
from collections.abc import AsyncIterator

import pytest

from tests.upstream import Upstream


@pytest.fixture(autouse=True)
def _no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a developer's keys nor proxies may reach a test."""
    for name in list(os.environ):
        if name.upper().startswith(("OPENROUTER_", "ANTHROPIC_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """Both model APIs, scripted; the script must be used up to the letter."""
    async with Upstream() as server:
        yield server
        server.verify()
