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
PLAYLIST = b"ffconcat version 1.0\nfile 'pyproject.toml'\n"
RED = ("passport.png", picture("PNG"), "image/png")


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
        ({"files": [data_url("image/png", b"no picture")]}, "file 1 of 1 is neither a PNG"),
        ({"files": [data_url("video/mp4", PLAYLIST)]}, "file 1 of 1 is neither a PNG"),
        ({"files": [PNG] * 9}, "at most 8"),
        (
            {
                "message": None,
                "messages": [{"role": "user", "content": "?", "files": [PNG] * 5}] * 2,
            },
            "holds 10 files; at most 8",
        ),
    ],
    ids=["remote", "local-file", "svg", "no-picture", "playlist", "many", "many-in-all"],
)
async def test_a_file_that_is_not_taken_is_refused_before_anything_is_paid_for(
    body: dict[str, Any], why: str, upstream: Upstream, serving: Serving
) -> None:
    async with serving() as client:
        response = await client.post("/chat", json={"message": QUESTION, **body})

    assert response.status_code == 422
    assert why in response.text
    assert not upstream.calls


async def test_files_are_uploaded_in_a_form_as_they_are(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(500), llama_says("Una visita."))
    upstream.haiku(haiku_says("Un passaporto."))
    # A kind that curl does not know by its ending.
    webp = ("stamp.webp", picture("WEBP"), "application/octet-stream")
    clip = ("visit.mp4", video("libx264", "mp4", seconds=8), "video/mp4")
    async with serving() as client:
        first = await client.post(
            "/chat",
            data={"message": QUESTION, "max_tokens": "50", "top_k": "1"},
            files=[("files", RED), ("files", webp)],
        )
        said = await client.post(
            "/chat", data={"message": QUESTION, "stream": "true"}, files=[("files", clip)]
        )

    assert first.json()["answer"] == "Un passaporto."
    assert len(first.json()["sources"]) == 1
    sent = upstream.llama_calls[0].json
    assert sent["max_tokens"] == 50
    shown = sent["messages"][-1]["content"]
    assert [part["type"] for part in shown] == ["image_url", "image_url", "text"]
    blocks = upstream.haiku_calls[0].json["messages"][-1]["content"]
    assert [block["source"]["data"] for block in blocks[:2]] == [
        part["image_url"]["url"].partition(",")[2] for part in shown[:2]
    ]
    assert said.headers["content-type"].startswith("text/event-stream")
    frames = upstream.llama_calls[1].json["messages"][-1]["content"]
    assert [part["type"] for part in frames] == [*["text", "image_url"] * 6, "text"]


async def test_a_form_has_words_for_tools(upstream: Upstream, serving: Serving) -> None:
    upstream.haiku(haiku_says("Ecco."), haiku_says("Ecco."))
    async with serving() as client:
        for tools in ("true", "read_document"):
            asked = {"message": QUESTION, "tools": tools}
            assert (await client.post("/chat", data=asked, files={"files": RED})).status_code == 200

    offered = [[tool["name"] for tool in call.json["tools"]] for call in upstream.haiku_calls]
    assert [len(offered[0]), offered[1]] == [3, ["read_document"]]


async def test_a_form_that_is_not_taken_says_why(upstream: Upstream, serving: Serving) -> None:
    def file(content: bytes, kind: str = "image/png", field: str = "files") -> Any:
        return field, ("a", content, kind)

    asked = {"message": QUESTION}
    refused: list[tuple[Any, Any, int, str]] = [
        (asked, [file(b"x" * 5_000_001)], 422, "file 1 is larger than 5,000,000 bytes"),
        (asked, [file(b"<svg/>", "image/svg+xml")], 422, "is of no known kind"),
        (asked, [file(b"no picture")], 422, "file 1 of 1 is neither a PNG"),
        (asked, [file(b"x")] * 9, 400, "Maximum number of files is 8"),
        (asked, [file(b"x", field="photo")], 422, "in the field photo; send it as files"),
        ({}, [file(b"x")], 422, "send either message or messages"),
        ({"message": [QUESTION] * 2}, [file(b"x")], 422, "valid string"),
        ({**asked, "nope": "1"}, [file(b"x")], 422, "nope"),
        ({f"f{n}": "1" for n in range(40)}, [file(b"x")], 400, "Maximum number of fields"),
    ]
    async with serving() as client:
        for fields, files, code, why in refused:
            response = await client.post("/chat", data=fields, files=files)
            assert response.status_code == code, why
            assert why in response.text
        form = b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n+2AA-\r\n--b--\r\n'
        for charset in ("utf-7", "punycode", "undefined", "hex", "IDNA"):
            head = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
            for path in ("/chat", "/documents"):
                response = await client.post(path, content=form, headers=head)
                assert (response.status_code, "as UTF-8" in response.text) == (400, True)
        elsewhere = await client.post("/search", data={"query": "KITAS"}, files=[file(b"x")])

    assert elsewhere.status_code == 415
    assert not upstream.calls
