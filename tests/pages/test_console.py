"""The console, in a real browser."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Page, expect

from app.access.keys import KeyScope
from tests.conftest import Serving
from tests.keys import make_key
from tests.pages.conftest import QUESTION, Opening
from tests.retrieval.extractors.files import pdf
from tests.service import stream_chat
from tests.upstream import Upstream, haiku_says, llama_says, status

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_asks_for_the_key_of_an_operator(
    opening: Opening, serving: Serving, data_dir: Path
) -> None:
    chat = make_key(data_dir, "chat", KeyScope.CHAT)
    admin = make_key(data_dir, "admin", KeyScope.ADMIN)
    async with serving() as client, opening("/console", service=str(client.base_url)) as page:
        asked = page.get_by_role("dialog", name="Access key")
        key = asked.get_by_label("Key", exact=True)
        use = asked.get_by_role("button", name="Use the key")
        await key.fill(chat)
        await use.click()
        refused = page.get_by_role("alert")
        await expect(refused).to_contain_text("needs the scope admin")
        await expect(page.get_by_role("region", name="Models")).to_have_count(0)

        another = refused.get_by_role("button", name="Use another key")
        await another.click()
        await asked.get_by_role("button", name="Cancel").click()
        await expect(refused).to_contain_text("asks for a key")
        await another.click()
        await key.fill(admin)
        await use.click()
        await shows(page, "turns", "0")
        await expect(refused).to_have_count(0)
        await expect(page.get_by_text("1 to 20 of 31")).to_be_visible()

        await page.reload()
        await shows(page, "turns", "0")
        await expect(asked).to_have_count(0)


async def shows(page: Page, figure: str, value: str) -> None:
    await expect(page.locator(f"[data-figure={figure}] dd")).to_have_text(value)


async def test_it_shows_calls_fallbacks_circuits_and_money(
    opening: Opening, serving: Serving, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    rejected = status(401, {"error": {"code": 401, "message": "no such key"}})
    upstream.llama(llama_says("Ten ", "billion.", gate=gate), rejected)
    upstream.haiku(haiku_says("Ten billion."))
    async with serving() as client, opening("/console", service=str(client.base_url)) as page:
        await shows(page, "turns", "0")
        await expect(page.locator("#ttft ~ p")).to_have_text("No calls yet.")
        first = asyncio.create_task(stream_chat(client, message=QUESTION))
        await shows(page, "liveCalls", "1")
        await shows(page, "requests", "1")
        gate.set()
        await first
        await stream_chat(client, message=QUESTION)

        await shows(page, "liveCalls", "0")
        await shows(page, "turns", "2")
        await shows(page, "fallbackRate", "50%")
        llama = page.get_by_role("region", name="Models").get_by_role("row", name="Llama 4 Scout")
        await expect(llama).to_contain_text("open, tried again in")
        await expect(llama).to_contain_text("rejected")
        fallen = page.get_by_role("region", name="Last fallbacks").get_by_role("row").nth(1)
        await expect(fallen).to_contain_text("its key was rejected")
        await expect(fallen).to_contain_text("answered")
        # A call of each model that gave a first token, one of Llama that gave none.
        await expect(page.locator(".chart circle")).to_have_count(1)
        await expect(page.locator(".chart rect.second:not(.day rect)")).to_have_count(1)
        await expect(page.get_by_role("img", name="spent and")).to_be_visible()
        await page.get_by_text("As a table").click()
        day = page.get_by_role("region", name="Cost and saving by day").get_by_role("row")
        await expect(day.nth(1).get_by_role("cell").nth(1)).to_have_text("3")


async def test_an_upload_becomes_searchable_and_a_deleted_document_is_gone(
    opening: Opening, upstream: Upstream
) -> None:
    handbook = "\n".join(f"Rule {n} of the office: the kitchen is left tidy." for n in range(60))
    file: FilePayload = {
        "name": "x99.pdf",
        "mimeType": "application/pdf",
        "buffer": pdf(handbook, handbook, "Visa X99 lasts ninety days.\nIt is asked for online."),
    }
    upstream.llama(llama_says("Ninety days [1]."))
    async with opening("/console") as page:
        log = page.get_by_role("log")
        await page.get_by_label("Files").set_input_files(files=[file])
        await page.get_by_label("Collection").fill("visas")
        await page.get_by_role("button", name="Upload").click()
        await expect(log).to_contain_text("x99.pdf: added as visas/x99.")

        await page.get_by_role("link", name="To the chat").click()
        await page.locator("#question").fill("How long does visa X99 last?")
        await page.keyboard.press("Enter")
        await page.locator(".citation").click()
        source = page.get_by_role("dialog")
        await expect(source).to_contain_text("visas/x99")
        await expect(source.locator("dt:text('Page') + dd")).to_contain_text("2")
        await expect(source.locator("blockquote")).to_contain_text("ninety days")

        await page.goto("/console")
        page.on("dialog", lambda dialog: dialog.accept())
        await page.get_by_role("button", name="Next").click()
        await page.get_by_role("button", name="Delete visas/x99").click()
        await expect(log).to_contain_text("visas/x99 was deleted.")
        await expect(page.get_by_role("button", name="Delete visas/x99")).to_have_count(0)


async def test_the_warnings_of_a_document_are_shown(opening: Opening) -> None:
    file: FilePayload = {
        "name": "aaa.md",
        "mimeType": "text/markdown",
        "buffer": b"---\nlang: klingon\n---\nThe visa A1 takes 6 days.\n\n<!-- not for you -->\n",
    }
    async with opening("/console") as page:
        await page.get_by_label("Files").set_input_files(files=[file])
        await page.get_by_role("button", name="Upload").click()
        await expect(page.get_by_role("log")).to_contain_text("aaa.md: added as aaa.")
        row = page.get_by_role("row").filter(has=page.get_by_role("button", name="Delete aaa"))
        await row.locator("summary").click()
        warnings = row.get_by_role("listitem")
        await expect(warnings).to_have_count(2)
        await expect(warnings.filter(has_text="Hidden text left out")).to_contain_text("1 comments")
        await expect(
            warnings.filter(has_text="Details of the document (front matter)")
        ).to_have_text(re.compile("is not a language"))


async def test_a_file_that_is_refused_says_why(opening: Opening) -> None:
    file: FilePayload = {
        "name": "broken.pdf",
        "mimeType": "application/pdf",
        "buffer": b"no PDF at all",
    }
    async with opening("/console") as page:
        await page.get_by_label("Files").set_input_files(files=[file])
        await page.get_by_role("button", name="Upload").click()
        await expect(page.get_by_role("log")).to_contain_text("broken.pdf: refused, ")
