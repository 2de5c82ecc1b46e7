import pytest

from tests.conftest import Serving

QUESTION = "Quanto capitale serve per una PT PMA?"


async def test_passages_stand_in_their_document_where_they_say(serving: Serving) -> None:
    async with serving() as client:
        answer = (await client.post("/search", json={"query": QUESTION, "top_k": 5})).json()
        assert answer["language"] == "it"
        assert not answer["degraded"]
        assert len(answer["passages"]) == 5
        best = answer["passages"][0]
        assert best["document_id"] == "it/pt-pma-capital"
        assert best["section"].startswith("Quanto capitale serve per una PT PMA")
        shown = (
            await client.get(f"/documents/{best['document_id']}", params={"text": True})
        ).json()
    assert shown["text"][best["start"] : best["end"]] == best["text"]
    assert best["effective_date"] == shown["effective_date"]


async def test_scores_fall_and_say_which_half_found_a_passage(serving: Serving) -> None:
    async with serving() as client:
        passages = (await client.post("/search", json={"query": QUESTION})).json()["passages"]
    fused = [passage["scores"]["fused"] for passage in passages]
    assert fused == sorted(fused, reverse=True)
    for passage in passages:
        scores = passage["scores"]
        assert scores["dense"] + scores["lexical"] >= scores["fused"] - 1e-9
    best = passages[0]["scores"]
    assert best["dense"] > 0
    assert best["lexical"] > 0


async def test_it_finds_what_chat_is_given(serving: Serving) -> None:
    async with serving(openrouter_api_key_llama=None, anthropic_api_key=None) as client:
        searched = (await client.post("/search", json={"query": QUESTION})).json()["passages"]
        answered = (await client.post("/chat", json={"message": QUESTION})).json()["sources"]
    assert [p["text"] for p in searched[: len(answered)]] == [s["text"] for s in answered]


async def test_filters_narrow_and_translations_are_taken(serving: Serving) -> None:
    async with serving() as client:
        answer = await client.post(
            "/search",
            json={
                "query": QUESTION,
                "translations": {"en": "How much capital does a PT PMA need?"},
                "filters": {"languages": ["en"]},
            },
        )
    passages = answer.json()["passages"]
    assert passages
    assert {passage["language"] for passage in passages} == {"en"}


async def test_small_talk_finds_nothing_and_says_so(serving: Serving) -> None:
    async with serving() as client:
        answer = (await client.post("/search", json={"query": "Ciao!"})).json()
    assert answer["small_talk"]
    assert answer["passages"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": " "}, "query"),
        ({"query": "x" * 2_001}, "query"),
        ({"query": "visa", "top_k": 51}, "top_k"),
        ({"query": "visa", "translations": {"french": "visa"}}, "translations.french.[key]"),
        ({"query": "visa", "filters": {"access": "staff"}}, "filters.access"),
        ({"query": "visa", "groups": ["staff"]}, "groups"),
    ],
)
async def test_what_is_out_of_bounds_is_named(
    body: dict[str, object], field: str, serving: Serving
) -> None:
    async with serving() as client:
        answer = await client.post("/search", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
