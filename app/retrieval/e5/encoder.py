"""The model's computation: tokens into hidden states, by onnxruntime."""

import platform
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as raised

from app.errors import VectorsUnavailable
from app.retrieval.e5.weights import FEED_FORWARD, HIDDEN, LAYERS, Floats, Weights

GRAPH = Path(__file__).with_name("encoder.onnx")
"""Without weights. Written by scripts/build_encoder_graph.py, which says how it computes."""

_EIGHT_BITS, _SEVEN_BITS = 127, 63
_ERRORS = 3
"""The level of onnxruntime's own log."""


class Encoder:
    """Encodes batches of texts. Safe to use from any thread: each computes in its caller's."""

    def __init__(self, weights: Weights) -> None:
        """Quantize the weights and load the graph: some 0.2 s of processor time."""
        self._weights = weights
        positions = weights.floats("emb.pos").reshape(-1, HIDDEN)
        self._positions = positions + weights.floats("emb.type")[:HIDDEN]
        options = onnxruntime.SessionOptions()
        # No threads of its own: nothing waits or spins, and the caller's priority counts.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS
        # Kept by the session's owner, since onnxruntime reads some of them where they are.
        self._tensors = dict(_tensors(weights))
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(t) for t in self._tensors.values()]
        options.add_external_initializers(list(self._tensors), values)
        self._session = onnxruntime.InferenceSession(
            GRAPH.read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def means(self, texts: Sequence[Sequence[int]]) -> Floats:
        """Return the mean of each text's hidden states, shape `(len(texts), HIDDEN)`.

        `texts` are token ids, at most `MAX_TOKENS` each. Raises `VectorsUnavailable`.
        """
        lengths = np.array([len(tokens) for tokens in texts])
        mask = np.arange(lengths.max()) < lengths[:, None]
        embeddings = np.zeros((*mask.shape, HIDDEN), np.float32)
        for row, tokens in zip(embeddings, texts, strict=True):
            row[: len(tokens)] = self._weights.words(np.array(tokens, np.int64))
        embeddings += self._positions[: mask.shape[1]]
        try:
            (hidden,) = self._session.run(
                ["hidden"], {"embeddings": embeddings, "mask": mask.astype(np.int32)}
            )
        except (raised.Fail, raised.RuntimeException, MemoryError) as error:
            raise VectorsUnavailable(f"the embedding model failed: {error}") from error
        hidden[~mask] = 0
        means: Floats = hidden.sum(axis=1) / lengths[:, None].astype(np.float32)
        return means


def _tensors(weights: Weights) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Each initializer of the graph that is the model's."""
    yield from ((name, weights.floats(name)) for name in ("emb.ln.w", "emb.ln.b"))
    for layer in (f"l{number}" for number in range(LAYERS)):
        queries_keys_values = [weights.floats(f"{layer}.{part}.w") for part in "qkv"]
        yield from _quantized(f"{layer}.qkv.w", np.concatenate(queries_keys_values), HIDDEN)
        biases = [weights.floats(f"{layer}.{part}.b") for part in "qkv"]
        yield f"{layer}.qkv.b", np.concatenate(biases)
        for name, rows in (("ao", HIDDEN), ("fi", HIDDEN), ("fo", FEED_FORWARD)):
            yield from _quantized(f"{layer}.{name}.w", weights.floats(f"{layer}.{name}.w"), rows)
            yield f"{layer}.{name}.b", weights.floats(f"{layer}.{name}.b")
        for name in ("aln.w", "aln.b", "oln.w", "oln.b"):
            yield f"{layer}.{name}", weights.floats(f"{layer}.{name}")


def _quantized(name: str, floats: Floats, rows: int) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """A matrix in integers, and the scale of each of its columns."""
    columns = floats.reshape(-1, rows)
    scale = np.abs(columns).max(axis=1) / np.float32(largest_weight())
    integers = np.rint(columns / scale[:, None]).astype(np.int8)
    yield name, np.ascontiguousarray(integers.T)
    yield f"{name}.scale", scale


@cache
def largest_weight() -> int:
    """Return the largest weight, 127 or 63, that the processor's sums of products hold.

    x86 processors without VNNI add two products in 16 bits, which weights of eight bits overflow.
    Vectors of both have a cosine of .9986 (least .9978 of 100 questions), so that a store may be
    moved from one kind of processor to another.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return _EIGHT_BITS
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return _SEVEN_BITS
    return _EIGHT_BITS if "avx512_vnni" in flags or "avx_vnni" in flags else _SEVEN_BITS
