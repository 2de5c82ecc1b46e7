"""One running service and one scripted upstream for many cases, in one event loop."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from app.events import Message
from app.llm.factory import open_client
from app.llm.ledger import CallRecord, Ledger
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.timing import TimeLimits
from tests.faults.breakages import bomb
from tests.faults.matrix import LIMITS
from tests.service import running_inside, settings_for, until_ready
from tests.upstream import Upstream

QUESTION = [Message("user", "Quanto capitale serve per una PT PMA?")]


@dataclass
class Service:
    """The service as its callers see it, and the router inside."""

    http: httpx.AsyncClient
    client: LlamaScoutClient
    logs: list[Any]
    patch: pytest.MonkeyPatch
    entries: list[CallRecord] = field(default_factory=list)
    """The ledger's entries of this test."""

    def limit(self, settings: Mapping[str, float]) -> None:
        """Go by these limits in this test; the one for connecting stays."""
        limits = TimeLimits(
            first_content_s=settings["first_content_timeout_s"],
            idle_s=settings["idle_timeout_s"],
            total_s=settings["total_timeout_s"],
        )
        self.patch.setattr(self.client, "_limits", limits)

    async def settled(self, upstream: Upstream) -> None:
        """Wait until no call of a model is left open."""
        async with asyncio.timeout(30):
            while upstream.connections:
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_upstream() -> AsyncIterator[Upstream]:
    bomb()  # packed now: in the middle of a case it would hold up everything for too long
    async with Upstream() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_service(
    shared_upstream: Upstream, indexed_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, LlamaScoutClient]]:
    """With the circuits off, so that no case meets what another one left."""
    data_dir = shutil.copytree(indexed_dir, tmp_path_factory.mktemp("shared") / "data")
    settings = settings_for(data_dir, **shared_upstream.settings, **LIMITS, circuit_breaker=False)
    async with running_inside(settings) as (http, client):
        await until_ready(http)
        yield http, client


@pytest.fixture(autouse=True)
def _impatient_for_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.llm.openrouter.USAGE_GRACE_S", 0.8)
    monkeypatch.setattr("app.llm.responses.MAX_BODY_S", 0.3)


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Iterator[Upstream]:
    shared_upstream.clear()
    yield shared_upstream
    shared_upstream.verify()


@pytest.fixture
def service(
    shared_service: tuple[httpx.AsyncClient, LlamaScoutClient], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    http, client = shared_service
    with capture_logs() as logs:
        started = Service(http, client, logs, monkeypatch)
        monkeypatch.setattr(client.ledger, "record", noting(client.ledger, started.entries))
        yield started


def noting(ledger: Ledger, entries: list[CallRecord]) -> Callable[[CallRecord], None]:
    """The ledger's `record`, which keeps every entry too."""
    record = ledger.record

    def noted(entry: CallRecord) -> None:
        entries.append(entry)
        record(entry)

    return noted


def router(upstream: Upstream, **values: Any) -> AbstractAsyncContextManager[LlamaScoutClient]:
    """The router alone, with its circuits on and the default limits."""
    return open_client(settings_for(Path("unused"), **{**upstream.settings, **values}))


def outcomes(entries: list[CallRecord]) -> Counter[tuple[str, str]]:
    """Calls by model and outcome."""
    return Counter((entry.ai, entry.outcome) for entry in entries)
