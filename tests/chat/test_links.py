"""Row 4 of the security matrix, on the filter alone; tests/security has it in the service."""

import re
from collections.abc import Iterable
from html import unescape
from itertools import pairwise
from urllib.parse import unquote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.chat.links import LinkFilter
from tests.security.hostile import EXFILTRATION, OBEDIENT, SOURCE
from tests.security.rendering import (
    addresses,
    addresses_in_html,
    pictures,
    pictures_in_html,
    rendered_by_marked,
)

# Three characters may close a sentence, behind the bracket of what is no link after all.
OWN = re.escape(SOURCE) + r"\)?[.,;:!?)\]*_~'\">]{0,3}"
FRAGMENTS = (
    *"[]()<>!/\\&#:.'\"`*_~ \n\thHw-1=?\x00é",
    "](", "]:", "][", "![", "](<", "://", "//", "www.", "http", "https://", "HTTP://", "evil.org",
    "&#58;", "&colon;", "&sol;", "&#x2f;", "&period;", "<br>", "<br/", "<b", "<img src=", "<a ",
    "<!--", "-->", "</", "<?", "data:", "javascript:", "\n\n", "\n> ", "\n- ", "\n```\n", "\n    ",
    "mailto:", "xmpp:", "a@evil.org", "\\@", "&commat;", "![", "!",
    SOURCE, f"]({SOURCE})", f"]({SOURCE}", f"<{SOURCE}>", SOURCE[:20], SOURCE[8:],
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=25).map("".join)


def filtered(*pieces: str) -> str:
    links = LinkFilter()
    links.allow([SOURCE, None, "not an address"])
    return "".join([*map(links.feed, pieces), links.end()])


def strange(found: Iterable[str]) -> list[str]:
    """The addresses that are not the source's; a bare one may end in what closes a sentence."""
    plain = {address: unescape(unquote(address)) for address in found}
    return [a for a, shown in plain.items() if not re.fullmatch(OWN, shown)]


def cut(text: str, places: list[int]) -> list[str]:
    places = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(places)]


@given(TEXTS, st.lists(st.integers(0, 200), max_size=30))
def test_row_4_nothing_that_commonmark_renders_is_a_link_but_a_sources_own(
    text: str, places: list[int]
) -> None:
    whole = filtered(text)

    assert strange(addresses(whole)) == []
    assert pictures(whole) == []
    assert filtered(*cut(text, places)) == whole
    assert filtered(*text) == whole


def test_row_4_wherever_an_obedient_answer_is_cut_the_same_comes_out() -> None:
    whole = filtered(OBEDIENT)

    assert strange(addresses(whole)) == []
    assert pictures(whole) == []
    assert addresses(whole), "the link to the source has gone too"
    for place in range(len(OBEDIENT)):
        assert filtered(OBEDIENT[:place], OBEDIENT[place:]) == whole


def test_row_4_marked_makes_no_link_of_it_either() -> None:
    texts: list[str] = []

    @settings(max_examples=1000)
    @given(TEXTS)
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    # White space for Python alone, or for some renderers alone.
    texts += [f"{SOURCE}{space}said" for space in "\x1c\x1d\x85\xa0\u2028\u3000\ufeff"]
    texts += [*EXFILTRATION, OBEDIENT]
    before = rendered_by_marked(texts)
    after = rendered_by_marked([filtered(text) for text in texts])

    found = [
        (text, address)
        for text, html in zip(texts, after, strict=True)
        for address in [*strange(addresses_in_html(html)), *pictures_in_html(html)]
    ]
    assert found == []
    harmful = [
        text
        for text, html in zip(texts, before, strict=True)
        if strange(addresses_in_html(html)) or pictures_in_html(html)
    ]
    assert len(set(harmful) & set(EXFILTRATION)) > len(EXFILTRATION) * 0.9, "they were harmless"


@given(TEXTS)
@example(f"[the law]({SOURCE})")
def test_what_is_held_back_is_no_longer_than_what_it_waits_for(text: str) -> None:
    links = LinkFilter()
    links.allow([SOURCE])
    shown = 0
    for fed, character in enumerate(text, 1):
        shown += len(links.feed(character))
        # Spaces that were put in hide some of what is held back, of which there is no more then.
        waits_for_domain = re.search(r"@\S*\Z", text[:fed])
        assert fed - shown <= len(f"]({SOURCE})") + 4 or waits_for_domain


@given(TEXTS, TEXTS, st.booleans())
def test_row_4_what_goes_on_after_an_interruption_makes_no_link_with_what_was_there(
    before: str, after: str, resumed: bool
) -> None:
    links = LinkFilter()
    links.allow([SOURCE])
    shown = links.feed(before) + links.end()
    if resumed:  # by another request, which has the text as it was shown
        links = LinkFilter(shown)
        links.allow([SOURCE])
    whole = shown + "".join(map(links.feed, after)) + links.end()

    assert strange(addresses(whole)) == []
    assert pictures(whole) == []


@given(TEXTS)
def test_nothing_is_taken_out(text: str) -> None:
    assert filtered(text).replace(" ", "") == text.replace(" ", "")


def test_ordinary_markdown_passes_as_it_is_and_at_once() -> None:
    lines = (
        "## PT PMA\n\n", "- **Capitale**: oltre 10 miliardi [1][2]. R&D, 3 < 4, a/b\n",
        "| a | b |\n|---|---|\n| x<br>y | z |\n\n", "1. `codice`, PP 28/2025 [3]. Già! @oss x@v4\n",
        f"Vedi [la legge]({SOURCE}) e {SOURCE}, «{SOURCE} ».",
    )  # fmt: skip
    links = LinkFilter()
    links.allow([SOURCE])

    assert [links.feed(line) for line in lines] == list(lines)
    assert links.end() == ""
