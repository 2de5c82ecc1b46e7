"""What is measured: the direct wire, the service, the bare pass-through, LiteLLM's proxy."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.settings import ROOT
from bench.processes import Server, free_port, serving

ZANTARA = Path(sys.executable).with_name("zantara")
LITELLM = ROOT / ".venv-peers" / "bin" / "litellm"
"""Made by `make bench-peers`; without it there is one target less."""


@dataclass(frozen=True)
class Targets:
    """Who listens. The stand-in for the models is asked directly, too."""

    upstream: Server
    floor: Server
    floor_without_httpx: Server
    litellm: Server | None
    folder: Path
    """For logs and the like."""

    @asynccontextmanager
    async def zantara(
        self, knowledge: Path | None = None, pauses: Path | None = None, **environment: str
    ) -> AsyncIterator[Server]:
        """The service, ready, over a knowledge base or an empty one.

        With `pauses` it writes its event loop's pauses into that file; see `bench.served`.
        """
        folder = knowledge or Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "knowledge").mkdir(parents=True, exist_ok=True)
        for file in (folder / "data").glob("ledger.db*"):
            file.unlink()  # of an earlier run: it would count as spent today
        port = free_port()
        given = {
            "OPENROUTER_BASE_URL": f"{self.upstream.url}/api/v1",
            "OPENROUTER_API_KEY_LLAMA": "sk-or-v1-simulated",
            "ANTHROPIC_BASE_URL": self.upstream.url,
            "ANTHROPIC_API_KEY": "sk-ant-simulated",
            "KNOWLEDGE_DIR": str(folder / "knowledge"),
            "DATA_DIR": str(folder / "data"),
            "PORT": str(port),
            "LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),  # of `bench.served`
            **environment,
        }
        log = self.folder / f"zantara-{port}.log"
        command: list[str | Path] = [ZANTARA, "serve"]
        if pauses:
            command = [sys.executable, "-m", "bench.served", pauses]
        # In a folder without an .env: the figures are those of the defaults.
        async with serving(command, port, log, "/ready", given, folder) as server:
            yield server


@asynccontextmanager
async def targets() -> AsyncIterator[Targets]:
    """All of them, started."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zantara-bench-")))
        port = free_port()
        command: list[str | Path] = [sys.executable, "-m", "bench.upstream", str(port)]
        upstream = await stack.enter_async_context(serving(command, port, folder / "upstream.log"))
        floor = await stack.enter_async_context(_floor("app", upstream, folder))
        without = await stack.enter_async_context(_floor("without_httpx", upstream, folder))
        litellm = None
        if LITELLM.exists():
            litellm = await stack.enter_async_context(_litellm(upstream, folder))
        yield Targets(upstream, floor, without, litellm, folder)


def _floor(name: str, upstream: Server, folder: Path) -> AbstractAsyncContextManager[Server]:
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", f"bench.floor:{name}", "--port", str(port)),
        *("--no-access-log", "--log-level", "warning", "--backlog", "4096"),
    ]
    given = {"UPSTREAM": f"{upstream.url}/v1"}
    return serving(command, port, folder / f"floor-{name}.log", environment=given)


@asynccontextmanager
async def _litellm(upstream: Server, folder: Path) -> AsyncIterator[Server]:
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        "  - model_name: llama-scout\n"
        "    litellm_params:\n"
        "      model: openai/meta-llama/llama-4-scout\n"
        f"      api_base: {upstream.url}/v1\n"
        "      api_key: sk-simulated\n"
        "litellm_settings:\n"
        "  telemetry: false\n"
    )
    port = free_port()
    command: list[str | Path] = [
        LITELLM,
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    log = folder / "litellm.log"
    async with serving(command, port, log, "/health/liveliness", environment) as server:
        yield server
