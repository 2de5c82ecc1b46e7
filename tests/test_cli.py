"""The commands as a person types them: real processes, real sockets."""

import asyncio
import contextlib
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.document_commands import PARTLY_DONE
from tests.attacking import free_port as free_port
from tests.attacking import victim
from tests.conftest import forget_log_streams
from tests.service import stream_chat, text_of, until_ready
from tests.upstream import Upstream, haiku_says, llama_says, status

ZANTARA = str(Path(sys.executable).with_name("zantara"))
HEAVY = ("numpy", "onnxruntime", "tokenizers", "fastapi", "anthropic", "aiohttp")
"""What takes most of the two seconds that the service's own imports do."""


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


async def invoke(*words: str, env: dict[str, str]) -> tuple[int, str, str]:
    """Run a command in this process, where that it is one of its own is not what is tested."""
    with contextlib.chdir(env["DATA_DIR"]):  # where there is no `.env`
        result = await asyncio.to_thread(CliRunner().invoke, cli, words, env=env)
    forget_log_streams()  # that of the command is closed
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


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
        assert await process.wait() == 0


def heavy_imports(profile: str) -> list[str]:
    """Those of `HEAVY` in what Python writes with PYTHONPROFILEIMPORTTIME set."""
    imported = {line.rpartition("|")[2].strip() for line in profile.splitlines()}
    assert "typer" in imported
    return [name for name in HEAVY if name in imported]


@pytest.mark.parametrize("command", [["--help"], ["serve", "--help"], ["keys", "list"]])
async def test_a_command_that_needs_no_model_loads_none(command: list[str], tmp_path: Path) -> None:
    env = environment(tmp_path / "data", PYTHONPROFILEIMPORTTIME="1")
    code, _, profile = await run(ZANTARA, *command, env=env, cwd=tmp_path)

    assert code == 0
    assert heavy_imports(profile) == []


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


async def test_pretty_logs_hold_the_same_lines(data_dir: Path, upstream: Upstream) -> None:
    upstream.llama(llama_says("Sì."))
    env = environment(data_dir, upstream)
    code, out, err = await invoke("ask", "Cos'è una PT PMA?", env=env)

    assert code == 0, err
    assert "✅ [Llama Scout] Success! Cost: $0.00034 (saved $0.00066 vs Haiku)" in err
    assert out.strip().startswith("Sì.")
    assert "[1] " in out


@pytest.mark.parametrize("app", [["app.main:app"], ["--factory", "app.main:create_app"]])
async def test_under_uvicorn_alone_the_service_does_not_start_and_says_why(
    app: list[str], tmp_path: Path
) -> None:
    uvicorn = str(Path(sys.executable).with_name("uvicorn"))
    command = (uvicorn, *app, "--port", str(free_port()))
    code, _, err = await run(*command, env=environment(tmp_path / "data"), cwd=tmp_path)

    assert code != 0
    assert err.count("start the service with `zantara serve`") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"PORT": "eighty"}, "PORT: "),
        ({"CHROMA_URL": "http://127.0.0.1:8000"}, "CHROMA_URL is gone"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_one_clear_line(
    setting: dict[str, str], line: str, tmp_path: Path
) -> None:
    env = environment(tmp_path / "data") | setting
    code, _, err = await run(ZANTARA, "serve", env=env, cwd=tmp_path)

    assert code != 0
    assert err.count(line) == 1
    assert "Traceback" not in err


async def test_a_port_that_is_taken_stops_the_start_and_is_named(
    tmp_path: Path, data_dir: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = environment(data_dir, PORT=str(port))
        code, _, err = await run(ZANTARA, "serve", env=env, cwd=tmp_path)

    assert code != 0
    assert f"'127.0.0.1', {port}): address already in use" in err
    assert "Traceback" not in err


async def test_a_port_for_figures_that_is_taken_stops_the_start_with_one_clear_line(
    tmp_path: Path, data_dir: Path
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        env = environment(data_dir, PORT=str(free_port()), METRICS_PORT=str(port))
        code, _, err = await run(ZANTARA, "serve", env=env, cwd=tmp_path)

    assert code != 0
    assert f"METRICS_PORT {port} cannot be listened on" in err
    assert "Traceback" not in err


async def test_ingest_reports_what_it_did_and_a_second_time_does_nothing(
    tmp_path: Path, data_dir: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "visto.md").write_text("# Visto di prova\n\nIl visto X99 dura novanta giorni.\n")
    (folder / "empty.md").write_text("")
    env = environment(data_dir)
    first = await invoke("ingest", str(folder), env=env)
    second = await invoke("ingest", str(folder), env=env)
    _, answer, _ = await invoke("ask", "Quanto dura il visto X99?", env=env)

    assert first[0] == PARTLY_DONE  # a file was rejected, and named
    assert f"rejected  {folder}/empty.md: is empty" in first[2]
    assert "1 added" in first[1]
    assert "1 unchanged" in second[1]
    assert "> Il visto X99 dura novanta giorni." in answer


@pytest.fixture(scope="module")
def beside(indexed_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a running service without models; tests leave its documents as found."""
    folder = tmp_path_factory.mktemp("beside")
    data_dir = shutil.copytree(indexed_dir, folder / "data")
    env = environment(data_dir, PORT=str(free_port()))
    with victim(env, folder / "log"):
        yield env


async def test_ask_and_doctor_work_beside_the_service_that_holds_the_data(
    tmp_path: Path, beside: dict[str, str]
) -> None:
    code, answer, profile = await run(
        ZANTARA,
        "ask",
        "Cos'è il KITAS?",
        env={**beside, "PYTHONPROFILEIMPORTTIME": "1"},
        cwd=tmp_path,
    )
    assert code == 0
    assert "Nessun modello è disponibile" in answer
    assert "[1] " in answer
    assert heavy_imports(profile) == []

    _, findings, _ = await run(ZANTARA, "doctor", env=beside, cwd=tmp_path)
    assert "ok    index: 31 documents" in findings


async def test_ingest_and_delete_go_through_the_service_that_holds_the_data(
    tmp_path: Path, beside: dict[str, str]
) -> None:
    folder = tmp_path / "docs"
    (folder / "visti").mkdir(parents=True)
    visa = folder / "visti/x99.md"
    visa.write_text("# Visto di prova\n\nIl visto X99 dura novanta giorni.\n")
    (folder / "visti/y88.html").write_text("<h1>Visto Y88</h1><p>Il visto Y88 dura un anno.</p>")
    (folder / "empty.md").write_text("")

    async def command(*words: str, **more: str) -> tuple[int, str, str]:
        return await run(ZANTARA, *words, env={**beside, **more}, cwd=tmp_path)

    url = f"http://127.0.0.1:{beside['PORT']}"
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        code, out, err = await command("ingest", str(folder), "--collection", "prova")
        assert (code, out) == (
            PARTLY_DONE,
            "2 added, 0 changed, 0 unchanged, 0 deleted, 1 rejected, 0 skipped; 2 chunks written\n",
        )
        assert f"rejected  {folder}/empty.md: is empty" in err
        found = await client.post("/search", json={"query": "Quanto dura il visto X99?"})
        assert found.json()["passages"][0]["document_id"] == "prova/visti/x99"
        for_staff = tmp_path / "staff.md"
        for_staff.write_text("# Tariffe\n\nLo sconto del socio Z77 vale fino a martedì.\n")
        assert (await command("ingest", str(for_staff), "--access", "staff"))[0] == 0
        code, out, profile = await command("delete", "staff", PYTHONPROFILEIMPORTTIME="1")
        assert (code, out) == (0, "1 deleted\n")
        assert heavy_imports(profile) == []

        (folder / "empty.md").unlink()
        visa.unlink()
        code, out, _ = await command("ingest", str(folder), "--collection", "prova")
        assert (code, out) == (
            0,
            "0 added, 0 changed, 1 unchanged, 1 deleted, 0 rejected, 0 skipped; 0 chunks written\n",
        )

        code, out, err = await command("delete", "prova/visti/x99", "--from", str(folder))
        assert (code, out, err) == (PARTLY_DONE, "1 deleted\n", "unknown   prova/visti/x99\n")
        assert (await client.get("/documents")).json()["total"] == 31


async def test_delete_forgets_what_came_from_a_folder_that_is_gone(
    tmp_path: Path, data_dir: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "visto.md").write_text("# Visto di prova\n\nIl visto X99 dura novanta giorni.\n")
    env = environment(data_dir)
    await invoke("ingest", str(folder), "--access", "staff", env=env)
    shutil.rmtree(folder)
    first = await invoke("delete", "--from", str(folder), env=env)
    second = await invoke("delete", "visto", env=env)

    assert first[:2] == (0, "1 deleted\n")
    assert second[:2] == (PARTLY_DONE, "0 deleted\n")
    assert "unknown   visto" in second[2]


async def test_what_the_gate_refuses_is_indexed_with_force(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "ktp.md").write_text("# KTP\n\nNIK: 3171011708450001\n")
    env = environment(data_dir)
    command = ("ingest", str(tmp_path / "ktp.md"))
    refused = await invoke(*command, env=env)
    forced = await invoke(*command, "--force", env=env)

    assert refused[0] == PARTLY_DONE
    assert f"rejected  {tmp_path}/ktp.md: holds an Indonesian identity number (NIK)" in refused[2]
    assert (forced[0], forced[1][:7]) == (0, "1 added")
    assert f"marked    {tmp_path}/ktp.md: holds an Indonesian identity number (NIK)" in forced[2]


async def test_a_terminal_shows_a_bar_with_counts_and_an_estimate(
    tmp_path: Path, data_dir: Path
) -> None:
    (tmp_path / "visto.md").write_text("# Visto\n\nIl visto X99 dura novanta giorni.\n")
    terminal, its_end = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        ZANTARA,
        "ingest",
        "visto.md",
        env={**environment(data_dir), "TERM": "xterm", "COLUMNS": "100"},
        cwd=tmp_path,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=its_end,
    )
    os.close(its_end)
    shown = await asyncio.to_thread(_all_of, terminal)

    assert await process.wait() == 0
    assert "1/1 files" in shown
    assert "visto.md" in shown
    assert re.search(r"1/1 files, 100%, [\d.]+/s, \d+ s left", shown)


def _all_of(terminal: int) -> str:
    parts = []
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as file:
        while part := file.read(4096):
            parts.append(part)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("ended_by", "said"),
    [(signal.SIGKILL, b""), (signal.SIGINT, b"stopped; the same command goes on from here\n")],
)
async def test_an_ingest_that_was_ended_goes_on_where_it_stopped(
    ended_by: signal.Signals, said: bytes, tmp_path: Path, data_dir: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    # More than are embedded together: those that were are stored within milliseconds.
    documents = 70
    for n in range(documents):
        (folder / f"{n:02}.txt").write_text(f"Pasal {n}: visto numero {n * n}.")
    env = environment(data_dir)
    process = await asyncio.create_subprocess_exec(
        ZANTARA, "ingest", str(folder), env=env, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        while _documents(data_dir) < 34:
            assert process.returncode is None
            await asyncio.sleep(0.01)
        process.send_signal(ended_by)
        _, err = await process.communicate()
    stored = _documents(data_dir) - 31
    _, out, _ = await run(ZANTARA, "ingest", str(folder), env=env, cwd=tmp_path)

    assert err.endswith(said)
    assert 3 <= stored < documents
    assert out.startswith(f"{documents - stored} added, 0 changed, {stored} unchanged, 0 deleted")


def _documents(data_dir: Path) -> int:
    with contextlib.closing(sqlite3.connect(data_dir / "zantara.db", timeout=30)) as database:
        count: int = database.execute("SELECT count(*) FROM documents").fetchone()[0]
    return count


async def test_doctor_says_what_is_well_and_what_to_do(data_dir: Path, upstream: Upstream) -> None:
    code, out, _ = await invoke("doctor", env=environment(data_dir, upstream))
    assert code == 0
    assert "ok    OPENROUTER_API_KEY_LLAMA: accepted by openrouter" in out
    assert "ok    index: 31 documents" in out
    if sys.platform == "linux":
        assert "ok    sandbox: resource limits, Landlock, seccomp" in out
    # Slow is a warning: others use this machine too.
    speed = r": \d+ ms a question, \d+ passages/s"
    assert re.search(rf"(ok|warn)  +embedder: .*8-bit integers.*{speed}", out)

    upstream.openrouter_key = status(401)
    code, out, _ = await invoke("doctor", env=environment(data_dir, upstream))
    assert code == 1
    assert "FAIL  OPENROUTER_API_KEY_LLAMA: rejected by openrouter" in out
    assert "→ replace OPENROUTER_API_KEY_LLAMA" in out

    code, out, _ = await invoke("doctor", env=environment(data_dir))
    assert code == 1
    assert "warn  ANTHROPIC_API_KEY: not set" in out
