from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.retrieval.chunking import (
    MAX_CHARACTERS,
    MIN_TAIL,
    chunk_markdown,
    chunk_text,
    first_heading,
)

LAW = """Preamble.

# Law 25

Opening words.

## Chapter I
### Article 1
First.

### Article 2
Second.

## Chapter II
Closing.
"""


def test_sections_are_the_path_of_headings_under_the_title() -> None:
    sections = {
        chunk.text.splitlines()[-1]: chunk.section for chunk in chunk_markdown(LAW, "UU 25")
    }
    assert sections == {
        "Preamble.": "UU 25",
        "Opening words.": "UU 25 > Law 25",
        "First.": "UU 25 > Law 25 > Chapter I > Article 1",
        "Second.": "UU 25 > Law 25 > Chapter I > Article 2",
        "Closing.": "UU 25 > Law 25 > Chapter II",
    }


def test_the_title_is_not_repeated_when_it_is_the_first_heading() -> None:
    assert chunk_markdown("# Visas\nText.\n", "Visas")[0].section == "Visas"


def test_long_sections_are_cut_and_keep_their_heading() -> None:
    text = "# Rules\n" + "A sentence of some words that means little. " * 100
    chunks = chunk_markdown(text, "Rules")
    assert len(chunks) > 3
    assert all(len(chunk.text) <= MAX_CHARACTERS + MIN_TAIL for chunk in chunks)
    assert {chunk.section for chunk in chunks} == {"Rules"}


def test_comments_in_code_are_no_headings() -> None:
    text = "# Setup\n```sh\n# install\nmake\n```\n~~~\n## also none\n~~~\nDone.\n"
    assert {chunk.section for chunk in chunk_markdown(text, "Setup")} == {"Setup"}


def test_a_heading_without_text_at_the_end_is_kept() -> None:
    assert chunk_markdown("# A\n\n## Left open\n", "A")[-1].section == "A > Left open"


def test_front_matter_is_left_out_and_offsets_stay_those_of_the_file() -> None:
    text = "---\ntitle: T\n---\n# T\nBody.\n"
    (chunk,) = chunk_markdown(text, "T", body_start=text.index("# T"))
    assert text[chunk.start : chunk.end] == chunk.text == "# T\nBody."


def test_plain_text_has_no_headings() -> None:
    (chunk,) = chunk_text("# not a heading\ntext", "notes")
    assert chunk.section == "notes"


def test_first_heading_of_none() -> None:
    assert first_heading("no heading\n#hashtag") is None


@given(
    st.lists(
        st.sampled_from(
            ["# A", "## Bè", "###", "```", "text 🦙", "- item", "", "| a | b |", "x" * 700]
        )
    )
)
def test_offsets_are_exact_and_no_word_is_lost(lines: list[str]) -> None:
    text = "\n".join(lines)
    chunks = chunk_markdown(text, "T")
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert all(a.end <= b.start for a, b in pairwise(chunks))
    covered = "".join(chunk.text for chunk in chunks)
    assert covered.count("text 🦙") == text.count("text 🦙")
    assert covered.count("x") == text.count("x")


def test_headings_that_a_converter_joined_to_a_line_are_headings() -> None:
    text = (
        "# Guide > Prices: none. **Created**: 2025\nOpening. --- ## Codes ### **KBLI 56101 - Bar** "
        "**Risk**: low\nMore.\n"
    )
    assert [(chunk.section, chunk.text) for chunk in chunk_markdown(text, "Guide")] == [
        ("Guide", "# Guide > Prices: none. **Created**: 2025\nOpening. ---"),
        ("Guide > Codes > KBLI 56101 - Bar", "### **KBLI 56101 - Bar** **Risk**: low\nMore."),
    ]


def test_a_short_end_stays_with_what_it_ends() -> None:
    text = "# Rules\n" + "A sentence of some words that means little. " * 22 + "\n\nThe end."
    (chunk,) = chunk_markdown(text, "Rules")
    assert chunk.text.endswith("The end.")
