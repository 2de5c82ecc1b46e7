"""A real browser, and a running service whose pages it opens: one of each for all tests here.

Both outlive a test, so the tests and what they start share the session's event loop.
"""

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, ViewportSize, async_playwright, expect

from tests.service import running, settings_for, until_ready
from tests.upstream import Upstream

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE_MS = 30_000.0
"""Of a busy machine."""
DESKTOP: ViewportSize = {"width": 1200, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


QUESTION = "How much capital does a PT PMA need?"


class Opening(Protocol):
    """Opens a page of a service, the shared one unless told, in a browser that has seen nothing."""

    def __call__(
        self, path: str = "/", *, service: str | None = None, **context: Any
    ) -> AbstractAsyncContextManager[Page]: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = Path(sys.executable).with_name("chromium")
    if not path.exists():
        pytest.skip("Chromium is missing: make .venv/bin/chromium says how to get it")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service_url(
    shared_upstream: Upstream, indexed_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """With the circuits off, so that no test meets what another one left."""
    data_dir = shutil.copytree(indexed_dir, tmp_path_factory.mktemp("pages") / "data")
    settings = settings_for(data_dir, **shared_upstream.settings, circuit_breaker=False)
    async with running(settings) as client:
        await until_ready(client)
        yield str(client.base_url)


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Iterator[Upstream]:
    shared_upstream.clear()
    yield shared_upstream
    shared_upstream.verify()


@pytest.fixture
def opening(browser: Browser, service_url: str) -> Opening:
    """What the browser blocks, and what a script throws, fails the test."""

    @asynccontextmanager
    async def opened(
        path: str = "/", *, service: str | None = None, **context: Any
    ) -> AsyncIterator[Page]:
        used = {"locale": "en-US", "viewport": DESKTOP, **context}
        private = await browser.new_context(base_url=service or service_url, **used)
        private.set_default_timeout(PATIENCE_MS)
        try:
            page = await private.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda m: complaints.append(m.text) if _blocked(m.text) else None)
            await page.goto(path)
            yield page
            assert not complaints
        finally:
            await private.close()

    return opened


def _blocked(text: str) -> bool:
    return "Content Security Policy" in text or "TrustedHTML" in text


async def ask(page: Page, question: str = QUESTION) -> Locator:
    """The answer to come."""
    await page.locator("#question").fill(question)
    await page.keyboard.press("Enter")
    return page.locator(".turn:last-child .answer")
