"""What the browser keeps of the chat: conversation, language, key; and in which words it speaks."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from app.access.keys import KeyScope
from app.errors import FailureKind
from tests.conftest import Serving
from tests.keys import make_key
from tests.pages.conftest import Opening, ask
from tests.upstream import Upstream, llama_says

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_key_is_asked_for_and_kept_for_the_session(
    opening: Opening, upstream: Upstream
) -> None:
    async with opening() as page:

        async def guarded(route: Route) -> None:
            if route.request.headers.get("authorization") == "Bearer sesame":
                await route.continue_()
            else:
                await route.fulfill(status=401, json={"detail": "a key is needed"})

        await page.route("**/chat", guarded)
        answer = await ask(page)
        asked = page.get_by_role("dialog", name="Access key")
        await asked.get_by_label("Key", exact=True).fill("wrong")
        await page.keyboard.press("Enter")
        await expect(asked.get_by_role("alert")).to_contain_text("did not accept")
        upstream.llama(llama_says("Ten billion."), llama_says("As I said."))
        await asked.get_by_label("Key", exact=True).fill("sesame")
        await asked.get_by_role("button", name="Use the key").click()
        await expect(answer).to_have_text("Ten billion.")
        await expect(asked).to_have_count(0)

        await page.reload()
        await expect(await ask(page, "Sure?")).to_have_text("As I said.")
        assert "sesame" not in await page.evaluate("JSON.stringify(localStorage)")


async def test_a_service_with_keys_answers_the_page_that_has_one(
    opening: Opening, serving: Serving, upstream: Upstream, data_dir: Path
) -> None:
    upstream.llama(llama_says("Ten billion."))
    key = make_key(data_dir, "web", KeyScope.CHAT)
    async with serving() as client, opening(service=str(client.base_url)) as page:
        answer = await ask(page)
        asked = page.get_by_role("dialog", name="Access key")
        for given in (key[:-1], key):
            await asked.get_by_label("Key", exact=True).fill(given)
            await asked.get_by_role("button", name="Use the key").click()
            if given != key:
                await expect(asked.get_by_role("alert")).to_contain_text("did not accept")
        await expect(answer).to_have_text("Ten billion.")


async def test_the_conversation_is_kept_and_told_to_the_model(
    opening: Opening, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Ten billion [1]."), llama_says("For each place."))
    async with opening() as page:
        await expect(await ask(page)).to_have_text("Ten billion 1.")
        await page.reload()
        answer = page.locator(".turn:last-child .answer")
        await expect(answer).to_have_text("Ten billion 1.")
        await answer.get_by_role("button").click()
        await expect(page.get_by_role("dialog")).to_contain_text("pt-pma")
        await page.keyboard.press("Escape")

        await expect(await ask(page, "Once only?")).to_have_text("For each place.")
        told = [m for m in upstream.llama_calls[1].json["messages"] if m["role"] == "assistant"]
        assert [m["content"] for m in told] == ["Ten billion [1]."]

        page.on("dialog", lambda dialog: dialog.accept())
        await page.get_by_role("button", name="New conversation").click()
        await expect(page.locator(".turn")).to_have_count(0)
        await page.reload()
        await expect(page.locator(".welcome")).to_be_visible()


async def test_an_answer_that_the_page_was_left_in_is_kept_as_far_as_it_had_come(
    opening: Opening, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.llama(llama_says("Ten billion ", "that nobody waits for", gate=gate))
    async with opening() as page:
        await expect(await ask(page)).to_have_text("Ten billion")
        await page.reload()
        await expect(page.locator(".answer")).to_have_text("Ten billion")
        await expect(page.locator(".turn .note")).to_have_text("Stopped.")
        async with asyncio.timeout(30):
            await upstream.llama_calls[0].closed.wait()


@pytest.mark.parametrize(
    "trouble",
    [
        "localStorage.setItem('full', 'x'.repeat(5 * 2 ** 20 - 1000))",
        "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name,"
        " { get() { throw new DOMException('', 'SecurityError') } })",
    ],
    ids=["full", "forbidden"],
)
async def test_a_browser_that_keeps_nothing_still_chats(
    opening: Opening, upstream: Upstream, trouble: str
) -> None:
    upstream.llama(llama_says("Ten billion [1]."))
    async with opening() as page:
        await page.add_init_script(trouble)
        await page.reload()
        await expect(await ask(page)).to_have_text("Ten billion 1.")
        await expect(page.get_by_role("button", name="Ask again")).to_be_visible()
        await page.get_by_label("Language").select_option("it")
        await expect(page.get_by_role("button", name="Invia")).to_be_visible()


async def test_the_page_speaks_the_browser_s_language_or_the_chosen_one(opening: Opening) -> None:
    async with opening(locale="it-IT") as page:
        await expect(page.get_by_role("button", name="Invia")).to_be_visible()
        await expect(page.locator("html")).to_have_attribute("lang", "it")
        await page.get_by_label("Lingua").select_option("id")
        await expect(page.get_by_role("button", name="Kirim")).to_be_visible()
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("lang", "id")
        await expect(page.get_by_role("button", name="Kirim")).to_be_visible()


async def test_every_text_is_there_in_every_language(opening: Opening) -> None:
    async with opening() as page:
        texts = await page.evaluate("import('/static/texts.js').then((m) => m.TEXTS)")
    names = {code: list(of) for code, of in texts.items()}
    assert names["it"] == names["id"] == names["en"]
    reasons = {code: list(of["reasons"]) for code, of in texts.items()}
    assert reasons["it"] == reasons["id"] == reasons["en"]
    assert set(FailureKind) <= set(reasons["en"])
