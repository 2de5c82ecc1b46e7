import re
from pathlib import Path

import pytest

from app.errors import VectorsUnavailable
from app.retrieval.e5 import weights
from app.retrieval.e5.weights import HIDDEN, read_model


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "e5-small-q4.bin"
    path.write_bytes(weights.installed_file().read_bytes())
    return path


def test_a_copy_of_the_file_is_read(copy: Path) -> None:
    vocabulary, read = read_model(copy)
    assert vocabulary.pieces[:5] == ["<s>", "<pad>", "</s>", "<unk>", ","]
    assert len(vocabulary.scores) == len(vocabulary.pieces) == 250_002
    assert read.floats("emb.pos").size == weights.MAX_TOKENS * HIDDEN
    assert read.floats("l11.fo.w").size == weights.FEED_FORWARD * HIDDEN


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_noticed_and_says_what_to_do(damage: str, copy: Path) -> None:
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[:-1], "changed": content, "empty": bytearray()}
    copy.write_bytes(damaged[damage])
    told = rf"{re.escape(str(copy))} is damaged, or .*: install it again with `pip install "
    with pytest.raises(VectorsUnavailable, match=told) as raised:
        read_model(copy)
    assert "\n" not in str(raised.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VectorsUnavailable, match=r"cannot be read .*: install it again"):
        read_model(tmp_path / "none.bin")
