"""The chat page, in a real browser."""

import asyncio

import pytest
from playwright.async_api import Route, expect

from tests.media.samples import picture
from tests.pages.conftest import Opening, ask
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
        await expect(source.locator("blockquote")).not_to_contain_text("#")
        await page.keyboard.press("Escape")
        await expect(source).to_be_hidden()
        await expect(cited).to_be_focused()

        await page.get_by_text("Sources (").click()
        await expect(page.locator(".sources button").first).to_contain_text(" > ")
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
    upstream.haiku(haiku_says(" rupiah."))
    async with opening() as page:
        await expect(await ask(page)).to_have_text("Ten billion rupiah.")
        await expect(page.locator(".badge")).to_contain_text("Llama 4 Scout")
        await expect(page.locator(".badge span")).to_contain_text("; Claude Haiku 4.5 went on")


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
    # It has said nothing yet, so it is asked once more.
    upstream.haiku(*[status(500, {"error": {"type": "api_error", "message": "x"}})] * 2)
    async with opening() as page:
        answer = await ask(page)
        await expect(page.get_by_role("alert")).to_have_text(
            "The answer broke off: its server failed."
        )
        await expect(answer).to_have_text("Ten billion")


async def test_a_refusal_is_told_in_the_page_s_language_and_asking_again_works(
    opening: Opening, upstream: Upstream
) -> None:
    moderated = {"code": 403, "message": "no", "metadata": {"reasons": ["violence"]}}
    upstream.llama(status(403, {"error": moderated}))
    async with opening(locale="it-IT") as page:
        answer = await ask(page)
        await expect(page.get_by_role("alert")).to_contain_text(
            "Nessuna risposta: il filtro dei contenuti del modello ha rifiutato"
        )

        upstream.llama(llama_says("Ten billion."))
        await page.get_by_role("button", name="Chiedi di nuovo").click()
        await expect(answer).to_have_text("Ten billion.")
        await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_limit_and_a_lost_connection_are_told_apart(
    opening: Opening, upstream: Upstream
) -> None:
    async with opening() as page:

        async def limited(route: Route) -> None:
            problem = {"title": "Too Many Requests", "detail": "ten questions a minute"}
            await route.fulfill(status=429, headers={"retry-after": "3"}, json=problem)

        await page.route("**/chat", limited)
        answer = await ask(page)
        told = page.get_by_role("alert")
        await expect(told).to_contain_text("too many questions in a short time")
        await expect(told).to_contain_text("Try again in 3 sec")

        await page.unroute("**/chat")
        await page.route("**/chat", lambda route: route.abort("connectionreset"))
        await page.get_by_role("button", name="Ask again").click()
        await expect(told).to_have_text("The connection was lost.")

        await page.unroute("**/chat")
        upstream.llama(llama_says("Ten billion."))
        await page.get_by_role("button", name="Ask again").click()
        await expect(answer).to_have_text("Ten billion.")


async def test_a_picture_goes_with_its_question_and_with_those_after_it(
    opening: Opening, upstream: Upstream
) -> None:
    upstream.llama(breaks_off("A pass"), llama_says("In 2031."))
    upstream.haiku(haiku_says("port."))
    async with opening() as page:
        await page.get_by_label("Attach pictures").set_input_files(
            {"name": "passport.png", "mimeType": "image/png", "buffer": picture("PNG")}
        )
        await expect(page.locator(".composer .file")).to_contain_text("passport.png")
        await ask(page, "What is this?")
        await expect(page.locator(".answer")).to_have_text("A passport.")
        await expect(page.locator(".question")).to_contain_text("passport.png")
        await ask(page, "When does it expire?")
        await expect(page.locator(".answer").last).to_have_text("In 2031.")
        await expect(page.locator(".composer .file")).to_have_count(0)

        await page.reload()  # the browser keeps its name, and not the picture
        await expect(page.locator(".question").first).to_contain_text("passport.png")

    for call, place in zip(upstream.llama_calls, (-1, -3), strict=True):
        shown, _ = call.json["messages"][place]["content"]
        assert shown["type"] == "image_url"


async def test_a_picture_that_is_too_large_is_named_and_not_sent(opening: Opening) -> None:
    async with opening() as page:
        await page.get_by_label("Attach pictures").set_input_files(
            {"name": "large.png", "mimeType": "image/png", "buffer": bytes(5_000_001)}
        )
        await expect(page.locator(".composer .problem")).to_contain_text("large.png")
        await expect(page.locator(".composer .file")).to_have_count(0)


async def test_what_was_chosen_is_bounded_in_all_and_can_be_taken_back(
    opening: Opening, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Ten billion."))
    async with opening() as page:
        for name in ("first.png", "second.png"):
            await page.get_by_label("Attach pictures").set_input_files(
                {"name": name, "mimeType": "image/png", "buffer": bytes(4_500_000)}
            )
        await expect(page.locator(".composer .file")).to_contain_text("first.png")
        await expect(page.locator(".composer .problem")).to_contain_text("second.png")
        await page.get_by_role("button", name="Remove first.png").click()
        await expect(page.locator(".composer .file")).to_have_count(0)
        await expect(page.locator("#question")).to_be_focused()
        await expect(await ask(page)).to_have_text("Ten billion.")

    assert isinstance(upstream.llama_calls[0].json["messages"][-1]["content"], str)


LONG = (
    "Line\n\n" * 40
    + "| step | takes | why |\n|---|---:|---|\n"
    + "| Notarisation and registration | 2 weeks | "
    + "which depends on the notary and on the province that the office is in |\n"
)


async def test_a_long_answer_is_followed_to_its_end_and_breaks_no_word_of_a_table(
    opening: Opening, upstream: Upstream
) -> None:
    upstream.llama(llama_says(LONG, "\nThe end."))
    async with opening(viewport={"width": 320, "height": 640}) as page:
        await page.locator("#question").fill("How long does it take?")
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("button", name="Ask again")).to_be_visible()
        left = "(page) => page.scrollHeight - page.scrollTop - page.clientHeight"
        assert await page.locator("html").evaluate(left) < 2
        number = page.get_by_role("cell", name="2 weeks")
        assert await number.evaluate("(cell) => getComputedStyle(cell).textAlign") == "end"
        whole = """(cell) => [...cell.textContent.matchAll(/[a-z]+/gi)].every((word) => {
            const range = document.createRange();
            range.setStart(cell.firstChild, word.index);
            range.setEnd(cell.firstChild, word.index + word[0].length);
            return range.getClientRects().length === 1;
        })"""
        step = page.get_by_role("cell", name="Notarisation")
        assert await step.evaluate(whole)
