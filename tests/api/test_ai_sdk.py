"""The Vercel AI SDK's own client against `/api/chat`."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.conftest import Serving
from tests.media.samples import data_url, picture
from tests.node import CLIENTS, NODE
from tests.upstream import (
    Upstream,
    Wire,
    haiku_calls,
    haiku_says,
    llama_chunk,
    llama_says,
    status,
)

DRIVER = CLIENTS / "use_chat.mjs"
QUESTION = "Quanto capitale serve per una PT PMA?"


async def use_chat(service: httpx.AsyncClient, *steps: Any, **body: Any) -> Any:
    """How the chat stands after these steps: status, error, messages."""
    plan = json.dumps({"body": body, "steps": steps})
    process = await asyncio.create_subprocess_exec(
        NODE, str(DRIVER), f"{service.base_url}/api/chat", plan, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    return json.loads(out)


def text_of(message: Any) -> str:
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def parts_of(message: Any, kind: str) -> list[Any]:
    return [part for part in message["parts"] if part["type"] == kind]


async def test_a_conversation_with_sources_and_a_second_try(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(
        llama_says("Oltre 10 ", "miliardi [1]."),
        llama_says("Dipende [1]."),
        llama_says("Entro un anno [1]."),
    )
    second = {"say": "Entro quando va versato questo capitale, secondo la legge in vigore oggi?"}
    async with serving() as service:
        chat = await use_chat(
            service, {"say": QUESTION}, second, {"regenerate": True}, max_tokens=50
        )

    assert (chat["status"], chat["error"]) == ("ready", None)
    asked, answered, _, again = chat["messages"]
    assert text_of(asked) == QUESTION
    assert text_of(answered) == "Oltre 10 miliardi [1]."
    assert text_of(again) == "Entro un anno [1]."
    first = parts_of(answered, "source-document")[0]
    assert first["sourceId"] == "1"
    assert first["providerMetadata"]["zantara"]["document_id"] == "it/pt-pma-capital"
    assert answered["metadata"]["ai_used"] == "llama-scout"
    assert answered["metadata"]["cost_usd"] == pytest.approx(0.00034)

    # What the client keeps of an answer comes back to the model as its text alone.
    sent = upstream.llama_calls[2].json
    assert sent["max_tokens"] == 50
    assert [m["content"] for m in sent["messages"][1:-1]] == [QUESTION, "Oltre 10 miliardi [1]."]
    assert sent["messages"][-1]["content"].endswith(second["say"])


async def test_the_services_own_tools_are_parts_of_the_message(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.haiku(
        haiku_calls(
            ("toolu_1", "get_service_prices", {"query": "PT PMA"}),
            ("toolu_2", "read_document", {"document_id": "it/niente"}),
            text="Guardo.",
        ),
        haiku_says("25 milioni [13]."),
    )
    async with serving() as service:
        chat = await use_chat(service, {"say": "Quanto costa una PT PMA?"}, tools=True)

    assert chat["status"] == "ready"
    answer = chat["messages"][1]
    assert [part["text"] for part in parts_of(answer, "text")] == [
        "Guardo.",
        "\n\n25 milioni [13].",
    ]
    (price,) = parts_of(answer, "tool-get_service_prices")
    assert (price["state"], price["input"]) == ("output-available", {"query": "PT PMA"})
    assert "25,000,000" in price["output"]["result"]
    (failed,) = parts_of(answer, "tool-read_document")
    assert (failed["state"], failed["errorText"]) == (
        "output-error",
        "there is no document it/niente",
    )
    assert [part["sourceId"] for part in parts_of(answer, "source-document")][-1] == "13"


async def test_a_picture_is_sent_and_llama_broken_off_is_continued_by_haiku(
    upstream: Upstream, serving: Serving
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Oltre 10 "))
        wire.reset()

    upstream.llama(breaks_off, breaks_off)
    upstream.haiku(haiku_says(" miliardi."))
    url = data_url("image/png", picture("PNG"))
    passport = {"type": "file", "mediaType": "image/png", "filename": "p.png", "url": url}
    async with serving() as service:
        chat = await use_chat(service, {"say": QUESTION, "files": [passport]})
    async with serving(anthropic_api_key=None) as service:
        broken = await use_chat(service, {"say": QUESTION})

    assert text_of(chat["messages"][1]) == "Oltre 10 miliardi."
    shown = upstream.llama_calls[0].json["messages"][-1]["content"]
    assert [part["type"] for part in shown] == ["image_url", "text"]
    shown = upstream.haiku_calls[0].json["messages"][-2]["content"]
    assert [part["type"] for part in shown] == ["image", "text"]
    assert chat["messages"][1]["metadata"]["ai_used"] == "haiku"
    assert broken["status"] == "error"
    assert broken["error"].partition(":")[0] in {"connection", "protocol"}
    assert text_of(broken["messages"][1]) == "Oltre 10 "


async def test_stopping_closes_the_call_upstream(upstream: Upstream, serving: Serving) -> None:
    async def never_ends(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Oltre 10 "))
        await wire.hang()

    upstream.llama(never_ends)
    async with serving() as service:
        chat = await use_chat(service, {"say": QUESTION, "stop": True})
        async with asyncio.timeout(10):
            await upstream.llama_calls[0].closed.wait()

    assert (chat["status"], text_of(chat["messages"][1])) == ("ready", "Oltre 10 ")


async def test_what_fails_before_the_first_word_is_an_error_with_its_reason(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(403, {"error": {"code": 403, "metadata": {"reasons": ["violence"]}}}))
    async with serving() as service:
        chat = await use_chat(service, {"say": QUESTION})

    assert chat["status"] == "error"
    assert "content filter" in chat["error"]


async def test_the_header_and_the_end_are_the_protocols(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Sì."))
    user = {"id": "1", "role": "user", "parts": [{"type": "text", "text": QUESTION}]}
    async with serving() as service:
        response = await service.post("/api/chat", json={"id": "chat", "messages": [user]})

    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.splitlines() if line.startswith("data:")]
    assert json.loads(lines[0][5:])["type"] == "start"
    assert json.loads(lines[-2][5:])["type"] == "finish"
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "at least 1"),
        ([{"role": "assistant", "parts": [{"type": "text", "text": "x"}]}], "the last of"),
        ([{"role": "user", "parts": []}], "is empty"),
        ([{"role": "user", "parts": [{"type": "file"}]}], "a file part needs url"),
        ([{"role": "user", "parts": [{"type": "text", "text": "x" * 32_001}]}], "32000"),
    ],
)  # fmt: skip
async def test_what_is_not_supported_is_refused(
    messages: list[Any], said: str, serving: Serving
) -> None:
    async with serving() as service:
        response = await service.post("/api/chat", json={"messages": messages})

    assert response.status_code == 422
    assert said in response.text
