"""Pictures and videos that callers send: what the models are shown of them."""

import base64
from typing import Any

import httpx
import pytest

from tests.conftest import Serving
from tests.media.samples import data_url, picture, video
from tests.upstream import Upstream, haiku_says, llama_says, status

QUESTION = "Che documento è questo?"
PNG = data_url("image/png", picture("PNG"))


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    return await client.post(path, json=body)


REQUESTS = {
    "/chat": {"message": QUESTION, "files": [PNG]},
    "/v1/chat/completions": {
        "model": "zantara",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": QUESTION},
                    {"type": "image_url", "image_url": {"url": PNG}},
                ],
            }
        ],
    },
    "/api/chat": {
        "messages": [
            {
                "role": "user",
                "parts": [
                    {"type": "file", "mediaType": "image/png", "url": PNG},
                    {"type": "text", "text": QUESTION},
                ],
            }
        ]
    },
}


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_picture_goes_to_llama_and_the_same_one_to_haiku(
    path: str, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(500))
    upstream.haiku(haiku_says("Un passaporto."))
    async with serving() as client:
        response = await client.post(path, json=REQUESTS[path])

    assert response.status_code == 200
    assert "Un passaporto." in response.text
    shown, said = upstream.llama_calls[0].json["messages"][-1]["content"]
    head, _, encoded = shown["image_url"]["url"].partition(",")
    assert (shown["type"], head) == ("image_url", "data:image/jpeg;base64")
    assert base64.b64decode(encoded).startswith(b"\xff\xd8\xff")
    assert said["text"].endswith(QUESTION)
    block, text = upstream.haiku_calls[0].json["messages"][-1]["content"]
    assert block["source"] == {"type": "base64", "media_type": "image/jpeg", "data": encoded}
    assert text["text"].endswith(QUESTION)


async def test_a_video_and_earlier_pictures_are_shown_in_their_places(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Una visita."))
    clip = data_url("video/mp4", video("libx264", "mp4", seconds=8))
    history = [
        {"role": "user", "content": "Cos'è?", "files": [PNG]},
        {"role": "assistant", "content": "Un passaporto."},
        {"role": "user", "content": "E questo video?", "files": [clip]},
    ]
    async with serving() as client:
        assert (await client.post("/chat", json={"messages": history})).status_code == 200

    _, first, _, last = upstream.llama_calls[0].json["messages"]
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert [part["type"] for part in last["content"]] == [*["text", "image_url"] * 6, "text"]
    assert last["content"][0]["text"] == "Frame 1 of 6 of a video, at 0:00:"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"files": ["https://example.com/passport.png"]}, "FILE_HOSTS does not list"),
        ({"files": ["file:///etc/passwd"]}, "is no https address and no data URL"),
        ({"files": ["data:image/svg+xml;base64,AAAA"]}, "is of no known kind"),
        ({"files": [data_url("image/png", b"no picture")]}, "file 1 of 1 is no PNG"),
        ({"files": [PNG] * 9}, "at most 8"),
        (
            {
                "message": None,
                "messages": [{"role": "user", "content": "?", "files": [PNG] * 5}] * 2,
            },
            "holds 10 files; at most 8",
        ),
    ],
    ids=["remote", "local-file", "svg", "no-picture", "many", "many-in-all"],
)
async def test_a_file_that_is_not_taken_is_refused_before_anything_is_paid_for(
    body: dict[str, Any], why: str, upstream: Upstream, serving: Serving
) -> None:
    async with serving() as client:
        response = await client.post("/chat", json={"message": QUESTION, **body})

    assert response.status_code == 422
    assert why in response.text
    assert not upstream.calls
