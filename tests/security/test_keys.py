"""Rows 17, 20 and 22 of the security matrix: the service on a public address, and its keys."""

import asyncio
import hmac
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from app.access.keys import KeyScope
from app.api.authentication import OPEN
from app.api.callers import Needs
from app.errors import ConfigurationError
from app.main import create_app
from app.server import server_config
from app.settings import Settings
from tests.conftest import Serving
from tests.keys import bearing, make_key
from tests.service import running, settings_for
from tests.test_cli import ZANTARA, environment, free_port, run, served
from tests.upstream import Upstream, llama_says

QUESTION = {"message": "Quanto capitale per una PT PMA?"}
WRONG = "zantara-" + "x" * 43
STRANGER = {"Fly-Client-IP": "203.0.113.7"}
"""Comes through a proxy, so from anywhere."""


def every_route() -> Iterator[Any]:
    """The app's own, and those of its routers, which stand in it as one route each."""
    for route in create_app(Settings(_env_file=None)).routes:
        router = getattr(route, "original_router", None)
        yield from router.routes if router else [route]


def every_path() -> Iterator[tuple[str, str]]:
    for route in every_route():
        for method in getattr(route, "methods", None) or ():
            path = route.path.replace("{document_id:path}", "it/pt-pma-capital")
            yield method, path.replace("{conversation_id}", "0000000000000000")


def test_every_route_but_the_open_ones_says_what_opens_it() -> None:
    closed = [
        route for route in every_route() if isinstance(route, APIRoute) and route.path not in OPEN
    ]

    paths = {route.path.replace(":path}", "}") for route in closed}
    assert paths >= set(create_app(Settings(_env_file=None)).openapi()["paths"]) - OPEN
    for route in closed:
        needed = [d.call for d in route.dependant.dependencies if isinstance(d.call, Needs)]
        assert len(needed) == 1, route.path


async def test_row_22_nothing_but_health_and_empty_pages_is_open_without_a_key(
    serving: Serving,
) -> None:
    async with serving(api_keys=WRONG[:-1] + "y", metrics_port=free_port()) as client:
        assert {"/", "/health", "/ready", "/console"} == OPEN
        routes = [*every_path(), ("GET", "/docs"), ("GET", "/redoc"), ("GET", "/metrics")]
        assert {("GET", "/openapi.json"), ("POST", "/chat"), ("GET", "/documents")} <= {*routes}
        for method, path in routes:
            for headers in ({}, bearing(WRONG), {"Authorization": "Basic eDp5"}):
                answer = await client.request(method, path, headers=headers)
                if path in {"/", "/health", "/ready"}:
                    assert answer.status_code == 200, path
                    continue
                assert answer.status_code == 401, (method, path)
                if path != "/console":
                    assert answer.headers["www-authenticate"] == "Bearer"
        shell = (await client.get("/console")).text
    assert '<script type="module" src="/static/console.js">' in shell
    assert "<main" not in shell


async def test_row_22_figures_are_told_to_this_machine_and_private_networks_alone(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    async with serving(metrics_port=port), httpx.AsyncClient() as scraper:
        told = await scraper.get(f"http://127.0.0.1:{port}/metrics")
        with pytest.raises(httpx.ConnectError):  # HOST is 127.0.0.1
            await scraper.get(f"http://127.0.0.2:{port}/metrics")
        monkeypatch.setattr("app.net.addresses._PRIVATE", ())
        async with asyncio.timeout(10):  # hung up on unasked: a stranger keeps no thread waiting
            stranger, to_figures = await asyncio.open_connection("127.0.0.1", port)
            assert await stranger.read() == b""
        to_figures.close()
        with pytest.raises(httpx.TransportError):
            await scraper.get(f"http://127.0.0.1:{port}/metrics", headers={"Connection": "close"})

    assert told.status_code == 200
    assert "zantara_turns_total" in told.text


async def test_a_key_opens_what_its_scopes_say(
    serving: Serving, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Dieci miliardi."), llama_says("Dieci miliardi."))
    keys = {scope: make_key(data_dir, scope, scope) for scope in KeyScope}
    opened = {
        KeyScope.CHAT: (200, 403, 403),
        KeyScope.DOCUMENTS: (403, 200, 403),
        KeyScope.ADMIN: (200, 200, 200),
    }
    async with serving() as client:
        assert (await client.post("/chat", json=QUESTION)).status_code == 401
        for scope, expected in opened.items():
            client.headers.update(bearing(keys[scope]))
            statuses = (
                (await client.post("/chat", json=QUESTION)).status_code,
                (await client.get("/documents")).status_code,
                (await client.get("/console/state")).status_code,
            )
            assert statuses == expected, scope
            assert (await client.get("/openapi.json")).status_code == 200
            assert (await client.get("/nowhere")).status_code == 404


async def test_row_17_a_key_that_is_nearly_right_is_answered_as_any_other(
    serving: Serving, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = make_key(data_dir, "web", KeyScope.CHAT)
    make_key(data_dir, "zebra", KeyScope.CHAT)  # behind it, in the order of their names
    compared: list[bool] = []
    compare_digest = hmac.compare_digest

    def counted(a: Any, b: Any) -> bool:
        compared.append(compare_digest(a, b))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", counted)
    seen = []
    async with serving() as client:
        compared.clear()
        for key in (right[:-1] + ("a" if right[-1] != "a" else "b"), WRONG, right[:20], right):
            answer = await client.post("/search", json={"query": "KITAS"}, headers=bearing(key))
            told = answer.json() if answer.status_code == 401 else {}
            told.pop("request_id", None)
            seen.append((answer.status_code, told, len(compared)))
            compared.clear()

    assert [status for status, *_ in seen] == [401, 401, 401, 200]
    assert seen[0] == seen[1] == seen[2]
    # Whichever key it is, its digest is held against that of every key.
    assert {comparisons for *_, comparisons in seen} == {3}


async def test_row_20_no_way_of_writing_a_path_or_a_host_leads_round_the_key(
    serving: Serving, data_dir: Path
) -> None:
    make_key(data_dir, "web", KeyScope.CHAT)
    paths = (
        "//documents", "/documents/", "/%64ocuments", "/documents%2f", "/./documents",
        "/static/../documents", "/static/..%2fdocuments", "/health/../documents",
        "/health%2f..%2fdocuments", "/documents;/health", "/documents?x=/health",
        "/documents#/health", "//health//documents", "/DOCUMENTS", "/console//state",
        "/console/state/", "/%63onsole/state", "/.//console/state", "http://health/documents",
        # Of a document's path, all of which belongs to its id, the door must not see the end only.
        "/documents/../health", "/documents/%2e%2e/health", "/documents/..%2f..%2fstatic/x",
    )  # fmt: skip
    hosts = ("localhost", "127.0.0.1", "", "health", "x:y@127.0.0.1", "[::1]", "127.0.0.1, evil")
    async with serving() as client:
        port = client.base_url.port
        assert port is not None
        for path in paths:
            status, body = await asyncio.to_thread(raw_get, port, path, "127.0.0.1")
            assert status in (400, 401, 404), (path, status)
            assert b"pt-pma" not in body
            assert b"uptime_s" not in body
        for host in hosts:
            status, body = await asyncio.to_thread(raw_get, port, "/documents", host)
            assert status in (400, 401), (host, status)
            assert b"pt-pma" not in body


async def test_row_20_without_keys_a_strange_host_or_a_proxy_is_not_this_machine(
    serving: Serving,
) -> None:
    strange = (
        {"Host": "rebound.example"}, {"Host": "127.0.0.1.example"}, STRANGER,
        {"X-Forwarded-Proto": "https"}, {"CF-Connecting-IP": "203.0.113.9"},
    )  # fmt: skip
    async with serving() as client:
        assert (await client.get("/documents")).status_code == 200
        for headers in strange:
            for path in ("/documents", "/openapi.json", "/console/state", "/v1/models"):
                refused = await client.get(path, headers=headers)
                assert refused.status_code == 401, (path, headers)
                assert "has no keys yet" in refused.text
            assert (await client.get("/health", headers=headers)).status_code == 200


async def test_without_keys_a_strange_page_in_a_browser_here_is_not_this_machine(
    serving: Serving,
) -> None:
    # A form: before it sends one, a browser asks nothing.
    form = {"file": ("visa.md", b"# Visa Z99\n\nThe visa Z99 lasts ninety days.\n")}
    strange = ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost")
    async with serving(cors_origins="https://app.example.org") as client:
        for origin in strange:
            # Without its body, which is not waited for.
            sent = await client.post("/documents", headers={"Origin": origin})
            assert sent.status_code == 401, origin
            assert "CORS_ORIGINS" in sent.json()["detail"]
        own = str(client.base_url)
        for n, origin in enumerate((own, "https://app.example.org")):
            sent = await client.post("/documents", files=form, headers={"Origin": origin})
            assert sent.status_code == (200 if n else 201), origin


async def test_row_37_without_keys_what_another_site_s_page_has_a_browser_get_is_refused(
    serving: Serving,
) -> None:
    async with serving(cors_origins="https://app.example.org") as client:
        own, listed = str(client.base_url).rstrip("/"), "https://app.example.org"
        for site, origin, status in (
            ("cross-site", None, 401),
            ("same-site", None, 401),
            ("made-up", None, 401),
            ("none", None, 200),
            ("same-origin", None, 200),
            ("same-origin", own, 200),
            ("cross-site", listed, 200),
            ("cross-site", "https://evil.example", 401),
            ("cross-site", "null", 401),
            ("same-site", own.replace("127.0.0.1", "localhost"), 401),
        ):
            headers = {"Sec-Fetch-Site": site} | ({"Origin": origin} if origin else {})
            for path in ("/documents", "/console/state", "/openapi.json"):
                answer = await client.get(path, headers=headers)
                assert answer.status_code == status, (path, headers)
        twice: tuple[list[tuple[str, str]], ...] = (
            [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
            [("Origin", own), ("Origin", "https://evil.example")],
            [("Origin", f"{own}, https://evil.example")],
        )
        for sent in twice:
            assert (await client.get("/documents", headers=sent)).status_code == 401, sent


async def test_row_37_without_keys_a_host_or_a_target_that_names_another_is_refused(
    serving: Serving,
) -> None:
    hosts = (
        "evil@127.0.0.1", "127.0.0.1/evil.example", "localhost.evil", "localhost:80@evil", "",
        "127.0.0.1\r\nHost: evil.example", "evil.example\r\nHost: localhost", "localhost, evil",
        "localhost\r\nX-Forwarded-For: 127.0.0.1", "localhost\r\nForwarded: for=127.0.0.1",
    )  # fmt: skip
    async with serving() as client:
        port = client.base_url.port
        assert port is not None
        for host in hosts:
            status, _ = await asyncio.to_thread(raw_get, port, "/documents", host)
            assert status in (400, 401), host
        for target, expected in (
            ("http://evil.example/documents", 401),
            ("http://evil@localhost/documents", 401),
            ("http://localhost.evil/documents", 401),
            (f"http://localhost:{port}/documents", 200),
        ):
            status, _ = await asyncio.to_thread(raw_get, port, target, "localhost")
            assert status == expected, target


async def test_whoever_is_told_to_answer_everybody_lets_strangers_chat_only(
    serving: Serving,
) -> None:
    async with serving(allow_no_keys=True) as client:
        searched = await client.post("/search", json={"query": "KITAS"}, headers=STRANGER)
        assert searched.status_code == 200
        for path in ("/documents", "/console/state"):
            assert (await client.get(path, headers=STRANGER)).status_code == 401


async def test_clients_of_openai_s_are_refused_in_their_own_form(
    serving: Serving, data_dir: Path
) -> None:
    make_key(data_dir, "web", KeyScope.CHAT)
    async with serving() as client:
        refused = await client.get("/v1/models", headers=bearing(WRONG))
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "send a key" in refused.json()["error"]["message"]


async def test_a_client_s_made_up_key_does_no_harm_while_there_are_none(serving: Serving) -> None:
    async with serving() as client:
        assert (await client.get("/v1/models", headers=bearing("unused"))).status_code == 200


@pytest.mark.parametrize("host", ["::", "zantara.example"])
async def test_on_a_public_address_the_service_does_not_start_without_keys(
    host: str, data_dir: Path
) -> None:
    settings = settings_for(data_dir, host=host)
    app = create_app(settings)
    server_config(app, settings)
    with pytest.raises(ConfigurationError, match="there are no keys: set API_KEYS"):
        async with app.router.lifespan_context(app):
            pass


async def test_the_refusal_to_start_is_one_line(tmp_path: Path, data_dir: Path) -> None:
    env = environment(data_dir, HOST="0.0.0.0", PORT=str(free_port()))
    code, _, err = await run(ZANTARA, "serve", env=env, cwd=tmp_path)

    assert code != 0
    assert err.count("HOST 0.0.0.0 is a public address and there are no keys") == 1
    assert "Traceback" not in err


async def test_on_a_public_address_keys_or_so_many_words_let_it_start(data_dir: Path) -> None:
    for told in ({"api_keys": WRONG}, {"allow_no_keys": True}):
        async with running(settings_for(data_dir, host="0.0.0.0", **told)) as client:
            assert (await client.get("/health")).status_code == 200


async def test_the_commands_make_list_and_revoke_a_key_that_a_running_service_heeds(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Dieci miliardi."))
    port = free_port()
    env = environment(data_dir, upstream, PORT=str(port))

    async def zantara(*words: str) -> tuple[int, str, str]:
        return await run(ZANTARA, *words, env=env, cwd=tmp_path)

    serve = (ZANTARA, "serve")
    log = tmp_path / "log"
    async with served(*serve, port=port, env=env, cwd=tmp_path, log=log) as (client, _):
        code, out, err = await zantara("keys", "create", "web", "--days", "2", "--group", "staff")
        assert (code, "shown this once" in err) == (0, True)
        key = out.strip()
        await status_becomes(client, 401)
        await status_becomes(client, 200, bearing(key))
        assert (await zantara("keys", "create", "web"))[0] == 1
        _, listed, _ = await zantara("keys", "list")
        assert listed.startswith("web ")
        assert "chat  groups staff  until 20" in listed
        assert key not in listed
        # The user's own commands need no key beside the service.
        code, answer, _ = await zantara("ask", "Quanto capitale?")
        assert (code, answer.startswith("Dieci miliardi.")) == (0, True)
        (tmp_path / "visto.md").write_text("# Visto\n\nIl visto X99 dura novanta giorni.\n")
        assert (await zantara("ingest", "visto.md"))[0] == 0
        assert (await zantara("delete", "visto"))[:2] == (0, "1 deleted\n")

        assert (await zantara("keys", "revoke", "web"))[1] == "web was revoked\n"
        await status_becomes(client, 200)
    assert key not in log.read_text()
    assert "no keys are set: only this machine is answered" in log.read_text()


async def status_becomes(
    client: httpx.AsyncClient, status: int, headers: dict[str, str] | None = None
) -> None:
    async with asyncio.timeout(60):
        while (await client.get("/v1/models", headers=headers)).status_code != status:
            await asyncio.sleep(0.05)


def raw_get(port: int, path: str, host: str) -> tuple[int, bytes]:
    """A request to the byte: a client would tidy up the path."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(b" ", 2)[1]), answer
