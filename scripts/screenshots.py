"""Photograph the pages for docs/, after `make .venv/bin/chromium`: `python -m scripts.screenshots`.

The chat runs without a key, so that its answer is a real one, quoted; the console's figures are
the benchmark's stand-in's, and say so where the models are named.
"""

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from app.main import create_app
from app.server import server_config
from app.settings import ROOT, Settings
from scripts.benchmark_stand_in import stand_in

DESKTOP: ViewportSize = {"width": 1100, "height": 760}
PHONE: ViewportSize = {"width": 390, "height": 844}
QUESTION = "Quanto capitale serve per una PT PMA?"
CALLS = 24

Prepare = Callable[[Page], Awaitable[None]]


async def main() -> None:
    """Four pictures, light at a desk and dark on a phone."""
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright, stand_in() as simulated:
            path = Path(sys.executable).with_name("chromium")
            browser = await playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox", "--disable-gpu"]
            )
            names = {
                "llama_model": "llama-4-scout-simulated",
                "haiku_model": "claude-haiku-4-5-simulated",
            }
            async with _serving(folder) as url:
                await _photograph(browser, url, "chat", _ask)
            async with _serving(folder, **simulated, **names) as url:
                await _call_models(url)
                await _photograph(browser, f"{url}/console", "console", _look)
            await browser.close()


async def _photograph(browser: Browser, url: str, name: str, prepare: Prepare) -> None:
    devices: tuple[tuple[str, ViewportSize, Literal["light", "dark"]], ...] = (
        ("desktop", DESKTOP, "light"),
        ("phone", PHONE, "dark"),
    )
    for device, viewport, scheme in devices:
        page = await browser.new_page(viewport=viewport, color_scheme=scheme, locale="it-IT")
        await page.goto(url)
        await prepare(page)
        await page.screenshot(path=ROOT / "docs" / f"{name}-{device}.png")
        await page.close()


async def _ask(page: Page) -> None:
    await page.locator("#question").fill(QUESTION)
    await page.locator(".composer .primary").click()
    await page.locator(".figures").wait_for()
    await page.evaluate("scrollTo(0, 0)")
    if page.viewport_size == PHONE:
        await page.locator(".citation").first.click()


async def _look(page: Page) -> None:
    await page.locator(".chart").last.wait_for()
    if page.viewport_size == PHONE:
        await page.locator(".charts").scroll_into_view_if_needed()


async def _call_models(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        for n in range(CALLS):
            model = "haiku" if n % 3 == 2 else "auto"
            body = {"message": QUESTION, "model": model, "stream": True}
            (await client.post("/chat", json=body)).raise_for_status()


@asynccontextmanager
async def _serving(folder: str, **values: Any) -> AsyncIterator[str]:
    settings = Settings(_env_file=None, data_dir=Path(folder), **values)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(server_config(create_app(settings), settings))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with httpx.AsyncClient(base_url=url) as client:
        while not server.started or (await client.get("/ready")).is_error:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    try:
        yield url
    finally:
        server.should_exit = True
        await serving
        listener.close()


if __name__ == "__main__":
    asyncio.run(main())
