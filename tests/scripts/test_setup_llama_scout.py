"""The setup script at a terminal. `fly` is a stand-in; `curl` is the real one, sent to loopback."""

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import httpx
import pexpect
import pytest

from app.settings import ROOT
from tests.conftest import Serving
from tests.service import running, settings_for
from tests.upstream import Step, Upstream, haiku_says, llama_says, llama_usage, status

pytestmark = pytest.mark.slow

SCRIPT = str(ROOT / "scripts" / "setup-llama-scout.sh")
KEY = "sk-or-v1-planted-0123456789"
WAIT_S = 30
VALID = status(200, {"data": {"limit_remaining": 4.2}})
SPENT = status(200, {"data": {"limit_remaining": 0}})

FLY = """#!/bin/bash
env >>"$STANDIN/environments"
printf '%s\\n' "fly $*" >>"$STANDIN/commands"
case "$1 $2" in
  "secrets import") cat >"$STANDIN/imported" ;;
  "secrets list") cat "$STANDIN/imported" 2>/dev/null ;;
esac
[ ! -e "$STANDIN/fly-fails" ]
"""
CURL = """#!/bin/bash
env >>"$STANDIN/environments"
printf '%s\\n' "curl $*" >>"$STANDIN/commands"
arguments=("${@/https:\\/\\/openrouter.ai/$OPENROUTER}")
exec "$REAL_CURL" "${arguments[@]/https:\\/\\/nuzantara-rag.fly.dev/$(cat "$STANDIN/service")}"
"""


class Terminal:
    """The script under a pseudo-terminal, with the stand-ins first on the PATH."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.folder = folder
        self.point_at("http://127.0.0.1:9")  # the discard port: nobody answers
        for name, text in (("fly", FLY), ("curl", CURL)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self._env = {
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "STANDIN": str(folder),
            "OPENROUTER": upstream.url,
            "REAL_CURL": str(shutil.which("curl")),
            "key": "a caller's variable of the same name as the script's",
        }
        self._child: pexpect.spawn[str] | None = None

    @property
    def child(self) -> "pexpect.spawn[str]":
        assert self._child, "start it first"
        return self._child

    def start(self, *arguments: str) -> None:
        self._child = pexpect.spawn(
            SCRIPT, list(arguments), env=self._env, encoding="utf-8", timeout=WAIT_S
        )

    async def pipe(
        self, text: str, *arguments: str, script: Path | str = SCRIPT
    ) -> tuple[int | None, str]:
        """Run it without a terminal on its input; its exit code and what it printed."""
        command = f"{script} {shlex.join(arguments)}"
        process = await asyncio.create_subprocess_shell(
            command,
            env=self._env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(text.encode())
        return process.returncode, out.decode()

    async def sees(self, text: str) -> None:
        await asyncio.to_thread(self.child.expect_exact, text)

    async def answers(self, prompt: str, text: str) -> None:
        await self.sees(prompt)
        # Typed before echo is off, the answer would show: bash switches it off with the prompt.
        if text == KEY:
            await asyncio.to_thread(self.child.waitnoecho, WAIT_S)
        self.child.sendline(text)

    async def ends(self) -> int:
        await asyncio.to_thread(self.child.expect, pexpect.EOF)
        await asyncio.to_thread(self.child.wait)
        assert self.child.exitstatus is not None
        return self.child.exitstatus

    def close(self) -> None:
        if self._child:
            self._child.close(force=True)

    def set(self, variable: str, value: str) -> None:
        self._env[variable] = value

    def point_at(self, url: str) -> None:
        (self.folder / "service").write_text(url)

    @property
    def commands(self) -> str:
        return (self.folder / "commands").read_text()

    @property
    def imported(self) -> str:
        return (self.folder / "imported").read_text()


@pytest.fixture
def terminal(tmp_path: Path, upstream: Upstream) -> Iterator[Terminal]:
    folder = tmp_path / "standin"
    folder.mkdir()
    terminal = Terminal(folder, upstream)
    yield terminal
    terminal.close()


def address(client: httpx.AsyncClient) -> str:
    return str(client.base_url).rstrip("/")


async def test_the_four_steps_at_a_terminal(
    terminal: Terminal, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Dieci miliardi.", usage=llama_usage(cost=0.00034)))
    terminal.start()
    async with serving(openrouter_api_key_llama=None) as before, AsyncExitStack() as stack:
        terminal.point_at(address(before))
        await terminal.answers("1/4  Get an OpenRouter key", "")
        await terminal.answers("(it stays hidden): ", KEY)
        await terminal.sees("✅ The key works. Credit left on it: $4.2.")
        await terminal.answers("2/4  Set the Fly secret", "")
        await terminal.sees("🔑 The service answers whoever sends this key")
        await terminal.answers("3/4  Verify the deployment", "")
        await terminal.sees("⚡ Haiku-only mode (add OPENROUTER_API_KEY_LLAMA for Llama 4)")
        access_key = terminal.imported.splitlines()[1].removeprefix("API_KEYS=")
        redeployed = settings_for(
            terminal.folder / "data",
            knowledge_dir=terminal.folder,
            api_keys=access_key,
            **upstream.settings,
        )
        terminal.point_at(address(await stack.enter_async_context(running(redeployed))))
        await terminal.sees("🦙 Llama 4 Scout ACTIVE")
        await terminal.answers("4/4  Test the service", "")
        for line in (
            "model   meta-llama/llama-4-scout (llama-scout)",
            "cost    $0.00034",
            "saved   $0.00066 vs Haiku",
            '✅ Done. Watch it with: fly logs -a nuzantara-rag | grep "Llama Scout"',
        ):
            await terminal.sees(line)
        assert await terminal.ends() == 0

    assert terminal.imported == f"OPENROUTER_API_KEY_LLAMA={KEY}\nAPI_KEYS={access_key}\n"
    assert len(access_key) > 40
    assert "fly secrets import -a nuzantara-rag\nfly status -a nuzantara-rag" in terminal.commands
    assert KEY not in terminal.commands
    assert access_key not in terminal.commands
    assert access_key not in (terminal.folder / "environments").read_text()


async def test_a_key_that_is_refused_can_be_entered_again_and_never_shows(
    terminal: Terminal, upstream: Upstream
) -> None:
    upstream.openrouter_key = status(401)
    terminal.start("--steps", "1")
    printed = (terminal.folder / "printed").open("w+")
    terminal.child.logfile_read = printed
    await terminal.answers("[Enter] run it", "")
    await terminal.answers("(it stays hidden): ", "sk-ant-wrong")
    await terminal.sees("❌ that is no OpenRouter key: expected sk-or-v1-")
    await terminal.answers("[Enter] try again", "")
    await terminal.answers("(it stays hidden): ", KEY)
    await terminal.sees("❌ OpenRouter rejected the key (HTTP 401)")
    await terminal.sees("→ make a new one at https://openrouter.ai/keys")
    upstream.openrouter_key = status(200, {"data": {"limit_remaining": None}})
    await terminal.answers("[Enter] try again", "")
    await terminal.answers("(it stays hidden): ", KEY)
    await terminal.sees("✅ The key works. It has no limit of its own.")
    assert await terminal.ends() == 0

    printed.seek(0)
    assert "planted" not in printed.read()
    printed.close()


async def test_a_step_can_be_skipped_and_the_rest_be_left(terminal: Terminal) -> None:
    terminal.start()
    await terminal.answers("1/4", "s")
    await terminal.sees("skipped")
    await terminal.answers("2/4", "q")
    await terminal.sees("stopped")
    assert await terminal.ends() == 1

    assert not (terminal.folder / "commands").exists()


@pytest.mark.parametrize("said", ["API_KEYS", "ALLOW_NO_KEYS"])
async def test_with_yes_the_key_comes_through_standard_input(said: str, terminal: Terminal) -> None:
    (terminal.folder / "imported").write_text(f"{said} 1a2b\n")  # whom to answer: left as it is
    code, printed = await terminal.pipe(f"{KEY}\n", "--yes", "--steps", "1,2", "--app", "prova-1")

    assert code == 0, printed
    assert terminal.imported == f"OPENROUTER_API_KEY_LLAMA={KEY}\n"
    assert "fly secrets import -a prova-1" in terminal.commands
    assert KEY not in terminal.commands + printed
    assert KEY not in (terminal.folder / "environments").read_text()


async def test_a_dry_run_runs_nothing(terminal: Terminal) -> None:
    code, printed = await terminal.pipe("", "--dry-run")

    assert code == 0
    for command in ("fly secrets import -a", "fly status -a", "/health every", "POST https://"):
        assert command in printed
    assert not (terminal.folder / "commands").exists()


@pytest.mark.parametrize(
    ("answer", "said", "fix"),
    [
        (status(402), "credit is spent", "top it up"),
        (status(429), "limits the rate", "wait a minute"),
        (status(503), "answered HTTP 503", "see https://status.openrouter.ai"),
        (SPENT, "credit is spent", "top it up"),
        (status(200, {"page": "log in"}), "describes no key", "a network's login page"),
    ],
)
async def test_every_failure_of_the_key_check_names_its_fix(
    answer: Step, said: str, fix: str, terminal: Terminal, upstream: Upstream
) -> None:
    upstream.openrouter_key = answer
    code, printed = await terminal.pipe(f"{KEY}\n", "--yes", "--steps", "1")

    assert code == 1
    assert said in printed
    assert f"→ {fix}" in printed


@pytest.mark.parametrize(
    ("settings", "key_check", "fix"),
    [
        ({"openrouter_api_key_llama": None}, VALID, "fly secrets deploy -a nuzantara-rag"),
        ({"force_haiku": True}, VALID, "fly secrets unset FORCE_HAIKU -a nuzantara-rag"),
        ({}, status(401), "run steps 1 to 4 again"),
        ({}, SPENT, "top up at"),
    ],
)
async def test_every_state_that_is_not_active_names_its_fix(
    settings: dict[str, object],
    key_check: Step,
    fix: str,
    terminal: Terminal,
    upstream: Upstream,
    serving: Serving,
) -> None:
    upstream.openrouter_key = key_check
    async with serving(**settings) as client:
        terminal.point_at(address(client))
        async with asyncio.timeout(WAIT_S):
            while "ACTIVE" in (await client.get("/health")).text:
                await asyncio.sleep(0.01)
        code, printed = await terminal.pipe("", "--yes", "--steps", "3", "--wait", "0")

    assert code == 1
    assert "does not say: 🦙 Llama 4 Scout ACTIVE" in printed
    assert fix in printed


async def test_a_process_from_before_the_new_key_is_not_taken_for_its_success(
    terminal: Terminal, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = SimpleNamespace(monotonic=lambda: time.monotonic() - 1000)
    monkeypatch.setattr("app.main.time", long_ago)
    async with serving() as client:
        terminal.point_at(address(client))
        code, printed = await terminal.pipe(f"{KEY}\n", "--yes", "--steps", "1,2,3", "--wait", "0")

    assert code == 1
    assert "the process from before the new secret still runs" in printed
    assert "fly secrets deploy -a nuzantara-rag" in printed


async def test_a_key_that_nobody_has_accepted_is_not_taken_for_a_success(
    terminal: Terminal, upstream: Upstream, serving: Serving
) -> None:
    upstream.openrouter_key = status(503)
    async with serving() as client:
        terminal.point_at(address(client))
        code, printed = await terminal.pipe("", "--yes", "--steps", "3", "--wait", "0")

    assert code == 1
    assert "OpenRouter has not accepted the key yet" in printed


async def test_a_secret_with_a_longer_name_is_not_the_key(terminal: Terminal) -> None:
    (terminal.folder / "imported").write_text("OPENROUTER_API_KEY_LLAMA_OLD 1a2b\n")
    code, printed = await terminal.pipe("", "--yes", "--steps", "2")

    assert code == 1
    assert "run step 1: --steps 1,2,3,4" in printed


async def test_a_step_that_failed_and_was_skipped_is_named_at_the_end(terminal: Terminal) -> None:
    terminal.start("--steps=1")
    await terminal.answers("[Enter] run it", "")
    await terminal.answers("(it stays hidden): ", "sk-or-v1-" + 20 * "à")
    await terminal.sees("❌ that is no OpenRouter key")
    await terminal.answers("[Enter] try again", "s")
    await terminal.sees("❌ Not done: step 1 failed and was skipped")
    assert await terminal.ends() == 1


async def test_what_is_no_answer_of_a_model_is_called_so(
    terminal: Terminal, serving: Serving
) -> None:
    code, printed = await terminal.pipe("", "--yes", "--steps", "4")
    assert code == 1
    assert "/chat: HTTP 000, it did not answer within 150 s, or cannot be reached" in printed

    async with serving(openrouter_api_key_llama=None, anthropic_api_key=None) as client:
        terminal.point_at(address(client))
        code, printed = await terminal.pipe("", "--yes", "--steps", "4")
    assert code == 1
    assert "no model answered: the answer is quotes from the documents" in printed


async def test_it_is_found_through_a_link_and_takes_each_form_of_its_options(
    terminal: Terminal,
) -> None:
    link = terminal.folder / "link"
    link.symlink_to(SCRIPT)
    code, printed = await terminal.pipe("", "--dry-run", "--wait=08", script=link)
    helped, help_text = await terminal.pipe("", "-h", script=link)

    assert code == helped == 0
    assert "on the Fly app nuzantara-rag" in printed
    assert "for 8 s at most" in printed
    assert "Usage: " in help_text


async def test_a_service_with_keys_is_tested_with_one(
    terminal: Terminal, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Dieci miliardi."))
    async with serving(api_keys="zantara-key-for-the-test") as client:
        terminal.point_at(address(client))
        refused, printed = await terminal.pipe("", "--yes", "--steps", "4")
        terminal.set("ZANTARA_KEY", "zantara-key-for-the-test")
        answered, _ = await terminal.pipe("", "--yes", "--steps", "4")

    assert (refused, answered) == (1, 0)
    assert "the service asks for a key that it knows" in printed
    assert "zantara keys create NAME" in printed
    assert "zantara-key" not in terminal.commands
    assert "zantara-key" not in (terminal.folder / "environments").read_text()


async def test_an_answer_of_haiku_is_a_failure_with_its_reason(
    terminal: Terminal, upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(status(500))
    upstream.haiku(haiku_says("Dieci miliardi."))
    async with serving() as client:
        terminal.point_at(address(client))
        code, printed = await terminal.pipe("", "--yes", "--steps", "4")

    assert code == 1
    assert "the answer came from haiku, not from Llama (server)" in printed
    assert "grep 'Falling back to Haiku'" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--steps", "5"), "give step numbers, such as 3,4"),
        (("--wait", "long"), "give a number of seconds"),
        (("--app", "No_Such"), "name it: --app"),
        (("--app",), "--app needs a value"),
        (("--app", "--yes"), "--app needs a value"),
        (("--app", "-x"), "--app needs a value"),
        (("--app=-x",), "--app needs a value"),
        # As "$APP" is where nobody set it: not the app of fly.toml.
        (("--app", ""), "--app needs a value"),
        (("--app=",), "--app needs a value"),
        (("--key", KEY), "unknown option --key"),
    ],
)
async def test_a_wrong_option_is_named(
    arguments: tuple[str, ...], said: str, terminal: Terminal
) -> None:
    code, printed = await terminal.pipe("", *arguments)

    assert code == 2
    assert said in printed


async def test_what_fly_refuses_is_named_and_nothing_follows_it(terminal: Terminal) -> None:
    (terminal.folder / "fly-fails").touch()
    code, printed = await terminal.pipe(f"{KEY}\n", "--yes")
    assert code == 1
    assert "log in (fly auth login)" in printed
    assert "3/4" not in printed

    code, printed = await terminal.pipe("", "--yes", "--steps", "2")
    assert code == 1
    assert "fly does not list the secrets of nuzantara-rag" in printed
    assert "log in (fly auth login)" in printed

    code, printed = await terminal.pipe("", "--yes", "--steps", "3")
    assert code == 1
    assert "fly does not know the state" in printed
