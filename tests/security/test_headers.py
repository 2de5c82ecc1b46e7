"""Row 18 of the security matrix, and the headers of every answer."""

from contextlib import suppress

import httpx
import pytest

from app.settings import Settings
from tests.conftest import Serving
from tests.keys import bearing
from tests.upstream import Upstream, llama_says

OURS, STRANGE = "https://app.example.org", "https://evil.example"
KEY = "zantara-key-for-the-test"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


async def test_row_18_an_unknown_origin_gets_no_cors_header(serving: Serving) -> None:
    unknown = (
        STRANGE,
        "null",
        OURS + ".evil.example",
        OURS.replace("https", "http"),
        OURS + ":8443",
    )
    async with serving(cors_origins=f"{OURS}, https://b.example", api_keys=KEY) as client:
        for origin in unknown:
            for method, more in (("GET", bearing(KEY)), ("OPTIONS", PREFLIGHT), ("GET", {})):
                headers = {**more, "Origin": origin}
                answer = await client.request(method, "/v1/models", headers=headers)
                assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_row_18_a_named_origin_may_ask_without_credentials(serving: Serving) -> None:
    async with serving(cors_origins=OURS, api_keys=KEY) as client:
        asked = await client.options("/chat", headers={**PREFLIGHT, "Origin": OURS})
        told = await client.get("/v1/models", headers={**bearing(KEY), "Origin": OURS})
        refused = await client.get("/v1/models", headers={"Origin": OURS})

    assert asked.status_code == 200
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    assert (told.status_code, refused.status_code) == (200, 401)
    for answer in (asked, told, refused):  # a page is to see why it was refused
        assert answer.headers["access-control-allow-origin"] == OURS
        assert "access-control-allow-credentials" not in answer.headers


async def test_row_18_without_keys_a_page_of_another_origin_sends_no_document(
    serving: Serving,
) -> None:
    # A browser sends a form without asking before, whatever the origin.
    form = {"file": ("kites.md", "# Kites\n\nThe permit for kites is free.\n")}
    async with serving(cors_origins=OURS) as client:
        own = str(client.base_url).rstrip("/")
        for origin in (STRANGE, "null", own.replace("http", "https") + ".evil.example", own + "0"):
            with suppress(httpx.TransportError):  # refused before its body was read
                sent = await client.post("/documents", files=form, headers={"Origin": origin})
                assert sent.status_code == 401, origin
        listed = (await client.get("/documents")).json()["documents"]
        assert "kites" not in [document["id"] for document in listed]
        for origin in (OURS, own):
            sent = await client.post("/documents", files=form, headers={"Origin": origin})
            assert sent.status_code in (200, 201), origin


async def test_without_the_setting_nobody_s_page_may_ask(serving: Serving) -> None:
    async with serving() as client:
        answer = await client.get("/v1/models", headers={"Origin": OURS})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "value", ["*", "example.org", "https://example.org/", "https://*.example.org", "null"]
)
def test_only_exact_origins_are_settings(value: str) -> None:
    with pytest.raises(ValueError, match="expected an origin such as"):
        Settings(_env_file=None, cors_origins=value)


async def test_every_answer_has_the_headers_and_names_no_server(
    serving: Serving, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.llama(llama_says("Dieci miliardi."))

    def crash(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.api.health._providers", crash)
    async with serving() as client:
        answers = [
            await client.get("/"),
            await client.get("/static/chat.js"),
            await client.get("/v1/models"),
            await client.get("/nowhere"),
            await client.post("/chat", json={}),
            await client.post("/chat", json={"message": "KITAS?", "stream": True}),
            await client.get("/openapi.json", headers={"Host": "rebound.example"}),
            await client.get("/health"),
        ]

    assert [answer.status_code for answer in answers][-2:] == [401, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff", answer.url
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
        if "/static/" not in str(answer.url):
            assert answer.headers["cache-control"] == "no-store", answer.url
