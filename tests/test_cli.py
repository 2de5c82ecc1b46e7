"""The commands as a person types them: real processes, real sockets."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.service import stream_chat, text_of, until_ready
from tests.upstream import Upstream, haiku_says, llama_says, status

ZANTARA = str(Path(sys.executable).with_name("zantara"))


def environment(data_dir: Path, upstream: Upstream | None = None, **more: str) -> dict[str, str]:
    settings = upstream.settings if upstream else {}
    given = {name.upper(): value for name, value in settings.items()}
    return {**os.environ, **given, "DATA_DIR": str(data_dir), **more}


async def run(*command: str, env: dict[str, str], cwd: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def served(
    *command: str, port: int, env: dict[str, str], cwd: Path, log: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """A server process, ready; ended with SIGTERM unless it has ended."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(*command, env=env, cwd=cwd, stderr=stderr)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await client.get("/health")
                        break
                    except httpx.ConnectError:
                        assert process.returncode is None, log.read_text()
                        await asyncio.sleep(0.02)
            await until_ready(client)
            yield client, process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        # Bare uvicorn raises the signal again when it has shut down.
        assert await process.wait() == (0 if ZANTARA in command else -signal.SIGTERM)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_serve_logs_the_guides_lines_with_the_request_id_and_nothing_secret(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Dieci miliardi."), status(500))
    upstream.haiku(haiku_says("Dieci miliardi."))
    port = free_port()
    log = tmp_path / "log"
    env = environment(data_dir, upstream, PORT=str(port), LOG_FORMAT="json")
    async with served(ZANTARA, "serve", port=port, env=env, cwd=tmp_path, log=log) as (client, _):
        answers = [
            (await client.post("/chat", json={"message": "Quanto capitale per una PT PMA?"})).json()
            for _ in range(2)
        ]

    lines = log.read_text().splitlines()
    for text in (
        "✅ Llama 4 Scout client initialized",
        "🎯 [Llama Scout] Using PRIMARY AI",
        "✅ [Llama Scout] Success! Cost: $0.00034 (saved $0.00066 vs Haiku)",
        "⚠️  [Llama Scout] Failed: API error",
        "   Falling back to Haiku 4.5...",
        "✅ [Haiku] Response completed",
    ):
        assert any(f'"event":"{text}"' in line for line in lines), text
    for answer in answers:
        of_request = [line for line in lines if answer["request_id"] in line]
        assert any("PRIMARY AI" in line for line in of_request)
        assert any("POST /chat" in line for line in of_request)
    assert "planted" not in log.read_text()
    assert "capitale" not in log.read_text()
    assert "miliardi" not in log.read_text()


async def test_a_stream_ends_whole_when_the_service_is_told_to_stop(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.llama(llama_says("Dieci ", "miliardi.", gate=gate))
    port = free_port()
    log = tmp_path / "log"
    env = environment(data_dir, upstream, PORT=str(port))
    async with served(ZANTARA, "serve", port=port, env=env, cwd=tmp_path, log=log) as (
        client,
        process,
    ):
        asking = asyncio.create_task(stream_chat(client, message="Quanto capitale?"))
        async with asyncio.timeout(10):
            while not upstream.llama_calls:
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while (ready := await client.get("/ready")).status_code != 503:
                await asyncio.sleep(0.01)
        refused = await client.post("/chat", json={"message": "E il KITAS?"})
        health = await client.get("/health")
        gate.set()
        events = await asking

    assert text_of(events) == "Dieci miliardi."
    assert events[-1].name == "done"
    assert ready.json()["detail"] == "the service is closing"
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert (health.status_code, health.json()["status"]) == (200, "closing")


async def test_pretty_logs_hold_the_same_lines(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Sì."))
    env = environment(data_dir, upstream)
    code, out, err = await run(ZANTARA, "ask", "Cos'è una PT PMA?", env=env, cwd=tmp_path)

    assert code == 0, err
    assert "✅ [Llama Scout] Success! Cost: $0.00034 (saved $0.00066 vs Haiku)" in err
    assert out.strip().startswith("Sì.")
    assert "[1] " in out


async def test_uvicorn_serves_the_same_app(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    port = free_port()
    uvicorn = str(Path(sys.executable).with_name("uvicorn"))
    command = (uvicorn, "app.main:app", "--port", str(port))
    env = environment(data_dir, upstream)
    async with served(*command, port=port, env=env, cwd=tmp_path, log=tmp_path / "log") as (
        client,
        _,
    ):
        health = (await client.get("/health")).json()

    assert health["features"]["ai"]["status"] == "🦙 Llama 4 Scout ACTIVE"


@pytest.mark.parametrize("command", [("zantara", "serve"), ("uvicorn", "app.main:app")])
async def test_a_wrong_setting_stops_the_start_with_one_clear_line(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    program, *rest = command
    env = environment(tmp_path / "data", PORT="eighty")
    path = str(Path(sys.executable).with_name(program))
    code, _, err = await run(path, *rest, env=env, cwd=tmp_path)

    assert code != 0
    assert err.count("PORT: ") == 1
    assert "Traceback" not in err


async def test_ingest_reports_what_it_did_and_a_second_time_does_nothing(
    tmp_path: Path, data_dir: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "visto.md").write_text("# Visto di prova\n\nIl visto X99 dura novanta giorni.\n")
    (folder / "empty.md").write_text("")
    env = environment(data_dir)
    first = await run(ZANTARA, "ingest", str(folder), env=env, cwd=tmp_path)
    second = await run(ZANTARA, "ingest", str(folder), env=env, cwd=tmp_path)
    _, answer, _ = await run(ZANTARA, "ask", "Quanto dura il visto X99?", env=env, cwd=tmp_path)

    assert first[0] == 1  # a file was rejected, and named
    assert "empty.md" in first[2]
    assert "1 added" in first[1]
    assert "1 unchanged" in second[1]
    assert "> Il visto X99 dura novanta giorni." in answer


async def test_ask_and_doctor_work_beside_the_service_that_holds_the_data(
    tmp_path: Path, data_dir: Path
) -> None:
    port = free_port()
    env = environment(data_dir, PORT=str(port))
    log = tmp_path / "log"
    async with served(ZANTARA, "serve", port=port, env=env, cwd=tmp_path, log=log):
        code, answer, _ = await run(ZANTARA, "ask", "Cos'è il KITAS?", env=env, cwd=tmp_path)
        assert code == 0
        assert "Nessun modello è disponibile" in answer
        assert "[1] " in answer

        _, findings, _ = await run(ZANTARA, "doctor", env=env, cwd=tmp_path)
        assert "ok    index: 30 documents" in findings

        code, _, error = await run(ZANTARA, "ingest", str(tmp_path), env=env, cwd=tmp_path)
        assert code == 1
        assert "in use by another process" in error


async def test_doctor_says_what_is_well_and_what_to_do(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    code, out, _ = await run(ZANTARA, "doctor", env=environment(data_dir, upstream), cwd=tmp_path)
    assert code == 0
    assert "ok    OPENROUTER_API_KEY_LLAMA: accepted by openrouter" in out
    assert "ok    index: 30 documents" in out

    upstream.openrouter_key = status(401)
    code, out, _ = await run(ZANTARA, "doctor", env=environment(data_dir, upstream), cwd=tmp_path)
    assert code == 1
    assert "FAIL  OPENROUTER_API_KEY_LLAMA: rejected by openrouter" in out
    assert "→ replace OPENROUTER_API_KEY_LLAMA" in out

    code, out, _ = await run(ZANTARA, "doctor", env=environment(data_dir), cwd=tmp_path)
    assert code == 1
    assert "warn  ANTHROPIC_API_KEY: not set" in out
