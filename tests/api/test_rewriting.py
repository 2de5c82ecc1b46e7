"""What the model makes of a question before it is searched for, seen from outside."""

import json

import pytest

from tests.conftest import Serving
from tests.upstream import Upstream, haiku_says, hang, llama_says, llama_usage, status

# In a language that is not the knowledge base's, about what French calls a man of straw.
QUESTION = "Puis-je utiliser un homme de paille ?"
IN_THREE_LANGUAGES = {
    "it": "È vietato usare un prestanome (nominee) per le quote di una PT?",
    "en": "Is a nominee shareholder arrangement prohibited?",
    "id": "Apakah pinjam nama (nominee) pemegang saham PT dilarang?",
}
REWRITTEN = llama_says(json.dumps(IN_THREE_LANGUAGES), usage=llama_usage(200, 90, cost=0.00005))


async def ask(client: object, **body: object) -> dict[str, object]:
    response = await client.post("/chat", json=body)  # type: ignore[attr-defined]
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def found(answer: dict[str, object]) -> list[str]:
    return [source["document_id"] for source in answer["sources"]]  # type: ignore[attr-defined]


def best_two(answer: dict[str, object]) -> list[str]:
    """Without the rewriting neither speaks of nominees."""
    return [source["text"].lower() for source in answer["sources"][:2]]  # type: ignore[index]


async def test_a_question_that_finds_nothing_at_once_is_searched_in_three_languages(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(REWRITTEN, llama_says("Yes [1]."), llama_says("Still yes [1]."))
    async with serving(question_rewriting=True) as client:
        first = await ask(client, message=QUESTION)
        again = await ask(client, message=QUESTION)
        health = (await client.get("/health")).json()

    rewriting, *answers = upstream.llama_calls
    assert QUESTION in rewriting.json["messages"][-1]["content"]
    assert rewriting.json["max_tokens"] <= 400
    assert all("nominee" in text or "prestanome" in text for text in best_two(first))
    # The second time the rewriting was remembered, and the model answers the asker's own words.
    assert found(again) == found(first)
    assert all(a.json["messages"][-1]["content"].endswith(QUESTION) for a in answers)
    assert health["measured"]["llama_success"] == 2


async def test_a_question_that_finds_its_answer_at_once_is_not_rewritten(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Oltre 10 miliardi [1]."))
    async with serving(question_rewriting=True) as client:
        await ask(client, message="Quanto capitale serve per una PT PMA?")

    assert len(upstream.calls) == 1


async def test_a_question_that_leans_on_the_conversation_is_rewritten_with_it(
    upstream: Upstream, serving: Serving
) -> None:
    stands_alone = {
        "it": "Quanto tempo ci vuole per ottenere un KITAS per investitori?",
        "en": "How long does it take to get an investor KITAS?",
        "id": "Berapa lama proses KITAS investor?",
    }
    upstream.llama(llama_says(f"```json\n{json.dumps(stands_alone)}\n```"), llama_says("Sì."))
    history = [
        {"role": "user", "content": "Come si ottiene un KITAS per investitori (E28A)?"},
        {"role": "assistant", "content": "Con una quota nella PT PMA [1]."},
        {"role": "user", "content": "E quanto tempo ci vuole?"},
    ]
    async with serving(question_rewriting=True) as client:
        answer = await ask(client, messages=history)

    assert history[0]["content"] in upstream.llama_calls[0].json["messages"][-1]["content"]
    assert "kitas" in str(found(answer)[:3])


async def test_a_long_question_that_leans_on_the_conversation_is_rewritten_too(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(REWRITTEN, llama_says("Sì."))
    history = [
        {"role": "user", "content": "Quanto capitale serve per una PT PMA?"},
        {"role": "assistant", "content": "Oltre 10 miliardi di rupie [1]."},
        {
            "role": "user",
            "content": "Per la PT PMA questo capitale deve essere versato subito per intero?",
        },
    ]
    async with serving(question_rewriting=True) as client:
        await ask(client, messages=history)
        assert len(upstream.llama_calls) == 2
        # And one that stands alone finds its answer at once.
        upstream.llama(llama_says("Sì."))
        alone = "Quanto capitale sociale serve in tutto a uno straniero per una PT PMA?"
        await ask(client, messages=[*history[:2], {"role": "user", "content": alone}])

    assert len(upstream.llama_calls) == 3


async def test_without_a_model_the_question_before_stands_in_for_the_rewriting(
    serving: Serving,
) -> None:
    history = [
        {"role": "user", "content": "Come si ottiene un KITAS per investitori (E28A)?"},
        {"role": "assistant", "content": "Con una quota nella PT PMA."},
        {"role": "user", "content": "E quanto tempo ci vuole?"},
    ]
    async with serving(openrouter_api_key_llama=None, anthropic_api_key=None) as client:
        answer = await ask(client, messages=history)

    assert "kitas" in str(found(answer)[:3])


@pytest.mark.parametrize(
    "fails",
    [
        pytest.param(llama_says("I would rather talk about the weather."), id="no-json"),
        pytest.param(llama_says('{"it": 7}'), id="wrong-json"),
        pytest.param(llama_says('{"it": "", "en": " ", "id": ""}'), id="empty"),
    ],
)
async def test_a_rewriting_that_cannot_be_read_costs_no_answer(
    fails: object, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(fails, llama_says("Yes [1]."))  # type: ignore[arg-type]
    async with serving(question_rewriting=True) as client:
        answer = await ask(client, message=QUESTION)

    assert (answer["answer"], answer["ai_used"]) == ("Yes [1].", "llama-scout")
    assert found(answer)


async def test_a_llama_that_fails_when_asked_to_rewrite_is_asked_no_more_in_that_turn(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(503))
    upstream.haiku(haiku_says("Yes [1]."))
    async with serving(question_rewriting=True) as client:
        answer = await ask(client, message=QUESTION)

    assert (answer["answer"], answer["fallback_reason"]) == ("Yes [1].", "overloaded")
    assert len(upstream.llama_calls) == 1
    assert found(answer)


async def test_a_hung_llama_is_waited_for_no_longer_because_it_was_asked_to_rewrite(
    upstream: Upstream, serving: Serving
) -> None:
    # Of the limit only what the length of the prompt adds is left.
    upstream.llama(hang, hang)
    upstream.haiku(haiku_says("Yes [1]."))
    limits = {"rewriting_timeout_s": 0.3, "first_content_timeout_s": 0.3}
    async with serving(question_rewriting=True, **limits) as client:
        answer = await ask(client, message=QUESTION)

    assert (answer["answer"], answer["fallback_reason"]) == ("Yes [1].", "timeout_first_content")
    assert found(answer)


async def test_a_llama_that_nobody_stands_behind_is_asked_again_after_it_was_silent(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(503), llama_says("Yes [1]."))
    async with serving(question_rewriting=True, anthropic_api_key=None) as client:
        answer = await ask(client, message=QUESTION)

    assert (answer["answer"], answer["ai_used"]) == ("Yes [1].", "llama-scout")


async def test_small_talk_in_mid_conversation_waits_for_no_rewriting(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(hang, llama_says("Prego!"))
    history = [
        {"role": "user", "content": "Quanto capitale serve per una PT PMA?"},
        {"role": "assistant", "content": "Oltre 10 miliardi di rupie."},
        {"role": "user", "content": "Grazie mille!"},
    ]
    async with serving(question_rewriting=True, rewriting_timeout_s=20) as client:
        answer = await ask(client, messages=history)
        await upstream.llama_calls[0].closed.wait()

    assert (answer["answer"], answer["sources"]) == ("Prego!", [])


async def test_the_rewriting_is_in_the_ledger_and_not_among_the_answers(
    upstream: Upstream, serving: Serving, unused_tcp_port: int
) -> None:
    upstream.llama(REWRITTEN, llama_says("Yes [1].", usage=llama_usage(cost=0.0004)))
    async with serving(question_rewriting=True, metrics_port=unused_tcp_port) as client:
        await ask(client, message=QUESTION)
        metrics = (await client.get(f"http://127.0.0.1:{unused_tcp_port}/metrics")).text

    assert 'zantara_rewriting_calls_total{ai="llama-scout",outcome="success"} 1.0' in metrics
    assert 'zantara_calls_total{ai="llama-scout",outcome="success"} 1.0' in metrics
    assert "zantara_cost_usd_total 0.00045" in metrics


@pytest.mark.parametrize(
    ("settings", "body"),
    [({"force_haiku": True}, {}), ({}, {"model": "haiku"})],
    ids=["forced", "asked-for"],
)
async def test_a_haiku_that_is_to_answer_rewrites_too(
    settings: dict[str, bool], body: dict[str, str], upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(haiku_says(json.dumps(IN_THREE_LANGUAGES)), haiku_says("Yes [1]."))
    async with serving(question_rewriting=True, **settings) as client:
        answer = await ask(client, message=QUESTION, **body)

    assert answer["ai_used"] == "haiku"
    assert all("nominee" in text or "prestanome" in text for text in best_two(answer))
