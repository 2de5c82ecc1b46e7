"""The pages under axe's rules, at phone and desktop size, light and dark; and by keyboard."""

from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.pages.conftest import DESKTOP, PHONE, Opening
from tests.service import stream_chat
from tests.upstream import Upstream, haiku_calls, haiku_says, llama_says, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANSWER = (
    "## Capital\n\n**Ten billion** rupiah [1, 2], `code` and\n\n- a list\n\n> a quotation\n\n"
    "| part | rupiah |\n|---|---|\n| plan | 10,000,000,000 |\n| paid up | 2,500,000,000 |\n\n"
    "```\na very long line of code that does not fit on any phone at all, however it is held\n```"
)

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def findings(page: Page) -> list[str]:
    """What axe finds, of whatever impact."""
    violations: list[dict[str, Any]] = (await Axe().run(page)).response["violations"]
    return [
        f"{found['impact']}: {found['id']}: {node['html']}"
        for found in violations
        for node in found["nodes"]
    ]


async def check_every_look(page: Page) -> None:
    """Phone and desktop, light and dark."""
    for viewport in (PHONE, DESKTOP):
        await page.set_viewport_size(viewport)
        assert await page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            assert await findings(page) == [], (viewport, scheme)


async def test_axe_finds_nothing_in_the_chat(opening: Opening, upstream: Upstream) -> None:
    prices = haiku_calls(("p1", "get_service_prices", {"query": "PT PMA"}))
    upstream.haiku(prices, haiku_says(ANSWER))
    async with opening() as page:
        assert await findings(page) == []
        await page.get_by_label("Look things up").check()
        await page.locator("#question").fill("How much capital?")
        await page.get_by_role("button", name="Send").click()
        await page.get_by_text("Sources (").click()
        await check_every_look(page)
        await page.locator(".citation").first.click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await check_every_look(page)


async def test_axe_finds_nothing_in_the_console(
    opening: Opening, upstream: Upstream, service_url: str
) -> None:
    upstream.llama(llama_says("Ten."), status(429, {"error": {"code": 429, "message": "x"}}))
    upstream.haiku(haiku_says("Ten."))
    async with httpx.AsyncClient(base_url=service_url, timeout=30) as client:
        for _ in range(2):
            await stream_chat(client, message="How much capital?")
    async with opening("/console") as page:
        await expect(page.locator(".chart")).to_have_count(2)
        await expect(page.get_by_role("button", name="Delete").first).to_be_visible()
        await page.get_by_text("As a table").click()
        await check_every_look(page)


async def test_nothing_is_wider_than_the_smallest_phone(
    opening: Opening, upstream: Upstream
) -> None:
    upstream.llama(llama_says(ANSWER, " " + "x" * 200))
    async with opening(viewport={"width": 320, "height": 640}) as page:
        await page.locator("#question").fill("y" * 200)
        await page.get_by_role("button", name="Send").click()
        await page.get_by_text("Sources (").click()
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320


async def test_the_chat_is_used_by_keyboard_alone(opening: Opening, upstream: Upstream) -> None:
    upstream.llama(llama_says("Ten billion [1]."))
    async with opening() as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the question")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#question")).to_be_focused()
        await page.keyboard.type("How much")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("capital?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".question")).to_have_text("How much\ncapital?")
        await expect(page.locator("#question")).to_be_focused()
        await expect(page.locator(".figures")).to_be_visible()
        await page.keyboard.press("Shift+Tab")
        await expect(page.get_by_role("button", name="Ask again")).to_be_focused()
