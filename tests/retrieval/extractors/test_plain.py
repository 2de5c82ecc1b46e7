import time

import pytest

from app.retrieval.extractors.plain import visible_markdown
from app.retrieval.preparation import prepare

_ALLOWED_S = 3.0
"""Of processor time: none takes more than 0.2 s, and by the square of the length ten and more."""


@pytest.mark.parametrize(
    "repeated",
    ["x", "[", "[[a", "<!--", "{/*", "<a ", "<div", '<a href="', "<a hidden ", "<script>"],
)
def test_a_short_file_takes_no_time_by_the_square_of_its_length(repeated: str) -> None:
    content = (repeated * 60_000)[:60_000].encode()
    prepare(b"# Words\n\nof English", "warm.md")
    started = time.process_time()
    prepare(content, "hostile.md")
    assert time.process_time() - started < _ALLOWED_S


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <!-- x --> b", "a  b"),
        ("a {/* x */} b %%y%%", "a  b "),
        ("[//]: # (x)\nb", "\nb"),
        ("a<p style='display: none'>x</P >b", "ab"),
        ("a<SCRIPT>x < y</script>b", "ab"),
        ("a<script>x<script>y</script>b", "ab"),
    ],
)
def test_what_is_hidden_is_left_out(text: str, shown: str) -> None:
    assert visible_markdown(text)[0] == shown
    assert visible_markdown(text)[1][0].kind == "hidden_text"


@pytest.mark.parametrize(
    "text",
    [
        "a <!-- b",
        "100%% of b",
        "`<!-- a -->` b",
        "```\n<script>a</script>\n```\nb",
        "<input hidden> a",
        "<p style='opacity:0.5'>a</p>",
    ],
)
def test_what_is_shown_is_kept(text: str) -> None:
    assert visible_markdown(text) == (text, ())
