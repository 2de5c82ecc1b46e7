"""Fixtures that more than one folder needs."""

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from asgi_correlation_id import correlation_id
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

import app.llm.haiku  # noqa: F401  # loaded late by the service: not within a test's limits
from app.retrieval.e5 import embedder as e5_embedder
from app.retrieval.knowledge_base import KnowledgeBase
from tests.attacking import Victim, free_port, victim
from tests.service import running, settings_for, until_ready
from tests.upstream import Upstream

# Times are the machine's: a busy one is no fault of the code.
hypothesis_settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("patient")

Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session", autouse=True)
def _one_model_a_worker() -> Iterator[None]:
    """Share the embedding model: loading it takes 0.7 s of processor time and 150 MB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(e5_embedder, "_Model", cache(e5_embedder._Model))
        yield


@pytest.fixture(autouse=True)
def _no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a developer's keys nor proxies may reach a test."""
    for name in list(os.environ):
        if name.upper().startswith(("OPENROUTER_", "ANTHROPIC_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A service or a command logs to the stream captured for its test, closed after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    forget_log_streams()
    root.handlers[:] = handlers
    root.setLevel(level)
    correlation_id.set(None)


def forget_log_streams() -> None:
    """Have every module's logger look again for the stream that it writes to."""
    structlog.reset_defaults()
    for module in [module for name, module in sys.modules.items() if name.startswith("app.")]:
        # What a module's logger keeps since its first line: the stream and the format.
        if logger := getattr(module, "logger", None):
            vars(logger).pop("bind", None)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """Both model APIs, scripted; the script must be used up to the letter."""
    async with Upstream() as server:
        yield server
        server.verify()


@pytest.fixture(scope="session")
def indexed_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which the bundled knowledge is indexed; copy it, don't use it."""
    data_dir = tmp_path_factory.mktemp("indexed")

    async def index() -> None:
        async with KnowledgeBase.open(settings_for(data_dir)) as knowledge_base:
            await knowledge_base.wait_ready(120)

    asyncio.run(index())
    return data_dir


@pytest.fixture
def data_dir(indexed_dir: Path, tmp_path: Path) -> Path:
    """A data directory of this test's own, with the bundled knowledge indexed."""
    return shutil.copytree(indexed_dir, tmp_path / "data")


@pytest.fixture(scope="session")
def attacked(indexed_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A `zantara serve` in a gigabyte, without models, for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("attacked")
    env = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_PROXY")},
        "DATA_DIR": str(shutil.copytree(indexed_dir, folder / "data")),
        "PORT": str(free_port()),
    }
    with victim(env, folder / "log") as running:
        yield running


@pytest.fixture
def serving(data_dir: Path, upstream: Upstream) -> Serving:
    """Starts the service against the scripted upstream; settings may be overridden."""

    @asynccontextmanager
    async def started(**overrides: Any) -> AsyncIterator[httpx.AsyncClient]:
        settings = settings_for(data_dir, **{**upstream.settings, **overrides})
        async with running(settings) as client:
            await until_ready(client)
            yield client

    return started


def pytest_xdist_auto_num_workers() -> int:
    """Three workers on two processors: a test mostly waits for sockets and processes."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why what was run once more had failed: it may be a fault that is rare."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"{report.nodeid} was run once more, since")
        terminalreporter.write_line(report.longreprtext)
