"""Row 7 of the security matrix: keys are planted, echoed by every fault, and looked for."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from pydantic import ValidationError

from app.llm.factory import open_client
from app.ops.logging import configure_logging
from app.settings import Settings
from tests.faults.breakages import HAIKU_API, LLAMA_API, Api, step
from tests.faults.matrix import MATRIX, Fault, Models
from tests.ops.test_tracing import collector
from tests.service import settings_for
from tests.test_cli import ZANTARA, environment, free_port, run, served
from tests.upstream import Step, Upstream, haiku_says, llama_says, status

QUESTION = "Quanto capitale serve per una PT PMA?"
LLAMA_KEY, HAIKU_KEY = "sk-or-v1-planted-0123456789", "sk-ant-planted-0123456789"
PLANTED = (LLAMA_KEY, HAIKU_KEY, "embeddings-planted-0123456789")
ECHO = f"Incorrect key {LLAMA_KEY}, {HAIKU_KEY} in Authorization: Bearer {LLAMA_KEY}"
# Those that wait for a limit, or send more than is worth reading, echo nothing that others don't.
PLAYED = [
    fault
    for fault in MATRIX
    if fault.breakage
    and not fault.until_s
    and fault.name not in ("line", "after-line", "bomb", "bomb-500", "bytes", "letters")
    and "endless" not in fault.name
]
IMPATIENT = {
    "FIRST_CONTENT_TIMEOUT_S": "3", "IDLE_TIMEOUT_S": "3", "TOTAL_TIMEOUT_S": "9",
    "CIRCUIT_BREAKER": "false", "LOG_FORMAT": "json", "EMBEDDINGS_API_KEY": PLANTED[2],
}  # fmt: skip


def echoing(api: Api) -> Api:
    """The API whose every error says the keys, wherever an error has room for words."""

    def error(code: int) -> Any:
        said = api.error(code)
        said["error"] |= {"message": ECHO, "param": ECHO}
        said["error"].setdefault("metadata", {})["raw"] = ECHO
        return said

    return replace(api, error=error)


def faults_of(models: Models) -> list[Fault]:
    return [fault for fault in PLAYED if fault.of in (Models.BOTH, models)]


def echoes(fault: Fault, api: Api) -> Step:
    assert fault.breakage
    return step(fault.breakage, echoing(api))


OWN = (
    status(401, {"error": {"message": ECHO, "type": ECHO, "code": 401}}),
    status(500, f"<html>{ECHO}</html>"),
    status(400, {"error": {"message": f"prompt is too long: {ECHO}", "type": ECHO}}),
    status(429, {"error": {"message": ECHO}}, Retry_After=LLAMA_KEY, X_Echo=ECHO),
    status(302, "", Location=f"http://127.0.0.1:9/{LLAMA_KEY}"),
    status(200, {"error": {"message": ECHO}}),
)


def texts_in(path: Path) -> Iterator[tuple[str, str]]:
    for file in path.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes().decode(errors="replace")


async def test_row_7_no_key_comes_out_whatever_fails(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.openrouter_key = upstream.anthropic_key = status(500, {"error": {"message": ECHO}})
    llama = [*OWN, *(echoes(fault, LLAMA_API) for fault in faults_of(Models.LLAMA))]
    haiku = [*OWN, *(echoes(fault, HAIKU_API) for fault in faults_of(Models.HAIKU))]
    # More than enough of both: Haiku is asked twice where that may help.
    upstream.llama(*llama * 2, llama_says("Dieci."))
    upstream.haiku(*haiku * 3, haiku_says("Dieci."))
    port, metrics_port, log = free_port(), free_port(), tmp_path / "log"
    heard: list[tuple[str, str]] = []
    async with collector() as (endpoint, spans):
        env = environment(
            data_dir, upstream, PORT=str(port), METRICS_PORT=str(metrics_port),
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **IMPATIENT,
        )  # fmt: skip
        command = (ZANTARA, "serve")
        async with served(*command, port=port, env=env, cwd=tmp_path, log=log) as (client, _):

            async def hear(method: str, url: str, **more: Any) -> None:
                answer = await client.request(method, url, **more)
                heard.append((f"{method} {url}", f"{answer.headers.multi_items()} {answer.text}"))

            turns = max(len(llama), len(haiku)) + 10
            bodies = [{"message": QUESTION, "stream": bool(n % 2)} for n in range(turns)]
            asked = iter(bodies)

            async def one_after_the_other() -> None:
                for body in asked:
                    await hear("POST", "/chat", json=body)

            async with asyncio.timeout(300):
                await asyncio.gather(*(one_after_the_other() for _ in range(8)))
            completion = {"model": "zantara", "messages": [{"role": "user", "content": QUESTION}]}
            await hear("POST", "/v1/chat/completions", json=completion)
            for path in ("/health", "/ready", "/console/state", "/openapi.json", "/docs", "/"):
                await hear("GET", path)
            await hear("GET", f"http://127.0.0.1:{metrics_port}/metrics")
            doctor = await run(ZANTARA, "doctor", env=env, cwd=tmp_path)
    called = len(upstream.calls)
    upstream.clear()

    assert called > len(llama) + len(haiku)
    heard += [("zantara doctor", str(doctor)), ("traces", str(spans)), *texts_in(tmp_path)]
    assert spans
    assert '"level":"error"' in log.read_text()
    found = [
        (where, key)
        for where, said in heard
        for key in PLANTED
        if key in said or json.dumps(key)[1:-1] in said
    ]
    assert found == []


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_row_7_nor_in_a_traceback(log_format: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(log_format)

    def fails(key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        raise ValueError(len(headers))

    try:
        fails(LLAMA_KEY)
    except ValueError:
        logging.getLogger("library").exception("failed")
        structlog.get_logger("own").exception("failed")
    written = capsys.readouterr().err

    assert written.count("ValueError") >= 2
    assert LLAMA_KEY not in written


async def test_row_7_nor_in_a_repr(tmp_path: Path, upstream: Upstream) -> None:
    settings = settings_for(tmp_path, **upstream.settings, embeddings_api_key=PLANTED[2])
    assert settings.openrouter_api_key_llama is not None
    assert settings.openrouter_api_key_llama.get_secret_value() == LLAMA_KEY
    async with open_client(settings) as client:
        shown = [repr(settings), str(settings), settings.model_dump_json(), repr(vars(settings))]
        for side in (client.llama, client.haiku):
            assert side is not None
            shown += [repr(side), repr(side.provider), repr(vars(side.provider))]
        shown.append(repr(vars(client)))

    assert [key for key in PLANTED for text in shown if key in text] == []


async def test_row_7_a_wrong_setting_is_refused_without_its_value(
    tmp_path: Path, data_dir: Path
) -> None:
    env = environment(data_dir, OPENROUTER_API_KEY_LLAMA=f"{LLAMA_KEY} {HAIKU_KEY}")
    code, out, err = await run(ZANTARA, "serve", env=env, cwd=tmp_path)

    assert code != 0
    assert "openrouter_api_key_llama" in (out + err).lower()
    assert LLAMA_KEY not in out + err


def test_row_7_nor_in_what_settings_raise_themselves() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(
            {"anthropic_api_key": "sk-ant-planted and more", "redis_url": "http://:planted@host"}
        )

    assert refused.value.error_count() == 2
    assert "planted" not in str(refused.value)


def test_row_7_httpx_masks_the_header_that_bears_the_key() -> None:
    assert LLAMA_KEY not in repr(httpx.Headers({"Authorization": f"Bearer {LLAMA_KEY}"}))
