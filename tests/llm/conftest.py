from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.llm.factory import open_client
from app.llm.llama_scout_client import LlamaScoutClient
from tests.service import settings_for
from tests.upstream import Upstream

OpenRouter = Callable[..., AbstractAsyncContextManager[LlamaScoutClient]]


@pytest.fixture
def open_router(upstream: Upstream) -> OpenRouter:
    """Opens the router against the scripted upstream; settings may be overridden."""

    @asynccontextmanager
    async def opened(**overrides: Any) -> AsyncIterator[LlamaScoutClient]:
        values = {**upstream.settings, **overrides}
        async with open_client(settings_for(Path("unused"), **values)) as client:
            yield client

    return opened
