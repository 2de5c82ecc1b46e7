"""How the service starts and stops: real processes, real sockets."""

import asyncio
import itertools
import signal
import socket
import sys
from pathlib import Path

import uvloop

from app.main import create_app
from app.server import DrainingServer, server_config
from tests.api.test_body_limit import half_sent
from tests.service import settings_for
from tests.test_cli import ZANTARA, environment, free_port, served
from tests.upstream import Upstream

HEAVY = ("anthropic", "genai_prices")
# `zantara serve`, in which whoever imports a heavy package first waits for the port's answer.
IMPORTS_WAIT_FOR_THE_PORT = f"""
import sys, time, urllib.request
from app.cli import main
from app.settings import load_settings

def answers():
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{{load_settings().port}}/health", timeout=30)
            return True
        except OSError:
            time.sleep(0.1)
    return False

def wait(event, arguments):
    if event == "import" and arguments[0] in {HEAVY}:
        when = "after" if answers() else "before"
        sys.stderr.write(f"{{arguments[0]}} imported {{when}}\\n")  # at once: others write too

sys.addaudithook(wait)
sys.argv = ["zantara", "serve"]
main()
"""


async def test_the_service_listens_before_it_loads_what_is_heavy_and_loads_it_unasked(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    port = free_port()
    command = (sys.executable, "-c", IMPORTS_WAIT_FOR_THE_PORT, ZANTARA)
    env = environment(data_dir, upstream, PORT=str(port))
    log = tmp_path / "log"
    async with (
        served(*command, port=port, env=env, cwd=tmp_path, log=log) as (client, _),
        asyncio.timeout(60),
    ):
        while (await client.get("/health")).json()["providers"]["haiku"]["key"] != "valid":
            await asyncio.sleep(0.05)

    for package in HEAVY:
        assert f"{package} imported after" in log.read_text()


async def test_a_body_that_was_begun_does_not_hold_up_the_stop(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    port = free_port()
    env = environment(data_dir, upstream, PORT=str(port))
    log = tmp_path / "log"
    command = (ZANTARA, "serve")
    async with (
        served(*command, port=port, env=env, cwd=tmp_path, log=log) as (client, process),
        half_sent(client),
    ):
        await client.get("/health")  # by now the service has what was sent before
        process.send_signal(signal.SIGTERM)
        # The limit for a turn, which was waited for, is 120 s.
        assert await asyncio.wait_for(process.wait(), 60) == 0


def test_connections_that_come_together_are_accepted_in_a_few_turns_of_the_loop(
    tmp_path: Path,
) -> None:
    turns = itertools.count()

    def turn() -> None:
        next(turns)
        asyncio.get_running_loop().call_soon(turn)

    async def turns_for(clients: int) -> int:
        settings = settings_for(tmp_path, port=free_port())
        server = DrainingServer(server_config(create_app(settings), settings), drain_s=0)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done(), "the service did not start"
            await asyncio.sleep(0.005)
        turn()
        address = ("127.0.0.1", settings.port)
        open_now = [socket.create_connection(address) for _ in range(clients)]
        before = next(turns)
        while len(server.server_state.connections) < clients:
            await asyncio.sleep(0)
        taken = next(turns) - before
        for client in open_now:
            client.close()
        server.should_exit = True
        await serving
        return taken

    assert uvloop.run(turns_for(64)) < 16
