"""Attack a service as strangers and callers did, and see whether it holds: `make attack`.

Starts a service of its own in a gigabyte of memory, with both models played on loopback, or takes
one that runs on this machine (`--url`); refuses all others. Writes `docs/attacks.md`, and ends with
code 1 where anything did not hold.
"""

import argparse
import asyncio
import os
import platform
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from app.access.keys import KeyScope
from app.net import is_loopback
from app.settings import ROOT
from scripts import attack_callers as callers
from scripts import attack_storage as storage
from scripts import attack_strangers as strangers
from scripts.attack_models import PRICE_USD, Models
from scripts.attack_target import Outcome, Target
from tests.attacking import Victim, free_port, victim
from tests.keys import make_key

DOCUMENT = ROOT / "docs" / "attacks.md"
HEALTH_LIMIT_S = 0.5
STRANGERS_LIMIT_MB = 50
CALLERS_LIMIT_MB = 200
"""Of growth: the bodies that a caller may have held, and what is made of them."""


@dataclass(frozen=True)
class Attack:
    """One of them. `row` is the row of the table in which it was first written down."""

    row: str
    name: str
    make: Callable[[Target], Outcome]
    by_stranger: bool = False
    without_keys: bool = False


@dataclass(frozen=True)
class Result:
    """What came of it."""

    attack: Attack
    happened: str
    health_s: float
    grown_mb: float
    held: bool


ATTACKS = (
    Attack("1", "a request's head without end", strangers.head_without_end, by_stranger=True),
    Attack("2", "8,000 requests in one write", strangers.requests_in_one_write, by_stranger=True),
    Attack("3", "JSON with 590,000 unknown names", callers.unknown_names),
    Attack("4", "searches with 20 long translations", callers.searches_with_translations),
    Attack("5", "videos that are lists of files", callers.files_that_are_something_else),
    Attack("6", "eight large bodies, never finished", callers.bodies_never_finished),
    Attack("7", "a document of 40,000 headings", callers.a_document_of_headings),
    Attack("8", "pictures and links in an answer", callers.pictures_that_spell),
    Attack("9", "six prompts that are slow by their size", callers.slow_by_its_own_size),
    Attack("10", "new conversations again and again", callers.conversations_without_end),
    Attack("11", "forged addresses", strangers.forwarded_headers, by_stranger=True),
    Attack("12", "withheld paths and figures", callers.paths_and_figures),
    Attack("12", "sixty new names of a model", callers.names_of_models),
    Attack("12", "an answer that is left at its first words", callers.calls_broken_off),
    Attack("12", "a conversation deleted during its turn", storage.deleted_during_its_turn),
    Attack("12", "a deleted document's text", storage.deleted_document),
    Attack("12", "keys in child processes", storage.keys_of_children),
    Attack(
        "12",
        "another site's page, strange hosts",
        strangers.other_sites_without_keys,
        by_stranger=True,
        without_keys=True,
    ),
)


def main() -> int:
    """Attack, print, write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a service on this machine, in place of one of its own")
    parser.add_argument("--pid", type=int, help="its process, for what memory it takes")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="by name, a regex")
    given = parser.parse_args()
    chosen = [attack for attack in ATTACKS if given.only.search(attack.name)]
    if given.url is not None:
        running = _on_this_machine(given.url, given.pid)
        # Without keys of its own: what a stranger does, with everything else left out.
        target = Target(running, "", "", "", "", Path(tempfile.mkdtemp()), 0)
        results = [_made(a, target) for a in chosen if a.by_stranger and not a.without_keys]
    else:
        results = []
        for without_keys in (False, True):
            of_these = [attack for attack in chosen if attack.without_keys is without_keys]
            if of_these:
                with _own_service(without_keys=without_keys) as target:
                    results += [_made(attack, target) for attack in of_these]
    table = _table(results)
    print(table)
    if given.url is None and len(results) == len(ATTACKS):
        DOCUMENT.write_text(_document(table))
    return 0 if all(result.held for result in results) else 1


def _on_this_machine(url: str, pid: int | None) -> Victim:
    address = urlsplit(url)
    if address.scheme != "http" or not is_loopback(address.hostname or "") or not pid:
        sys.exit(f"{url}: expected http://127.0.0.1:PORT, a service on this machine, and its --pid")
    return Victim(address.port or 80, pid)


@contextmanager
def _own_service(*, without_keys: bool) -> Iterator[Target]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data_dir, metrics_port = folder / "data", free_port()
        data_dir.mkdir()
        named = {
            "attacker": KeyScope.CHAT,
            "other": KeyScope.CHAT,
            "writer": KeyScope.DOCUMENTS,
            "ops": KeyScope.ADMIN,
        }
        keys = [] if without_keys else [make_key(data_dir, n, s) for n, s in named.items()]
        settings = stack.enter_context(_played_models())
        env = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_PROXY")},
            **{name.upper(): value for name, value in settings.items()},
            "DATA_DIR": str(data_dir),
            "PORT": str(free_port()),
            "METRICS_PORT": str(metrics_port),
            "LLAMA_PRICE_INPUT": str(PRICE_USD),
            "LLAMA_PRICE_OUTPUT": str(PRICE_USD),
            # Nothing is to be held because there was no room for more requests in a minute.
            "REQUESTS_PER_MINUTE_PER_KEY": "100000",
            "REQUESTS_PER_MINUTE_PER_ADDRESS": "100000",
            "TOKENS_PER_MINUTE_PER_KEY": "1000000000",
            "TOKENS_PER_MINUTE_PER_ADDRESS": "1000000000",
        }
        running = stack.enter_context(victim(env, folder / "log", keys[-1] if keys else ""))
        attacker, other, writer, admin = keys or [""] * len(named)
        yield Target(running, attacker, other, writer, admin, data_dir, metrics_port)


@contextmanager
def _played_models() -> Iterator[dict[str, str]]:
    """In a thread of their own; yields the settings that point to them."""
    started, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    models = Models()

    async def play() -> None:
        async with models:
            started.set()
            await over.wait()

    playing = threading.Thread(target=loop.run_until_complete, args=(play(),))
    playing.start()
    started.wait()
    try:
        yield models.settings
    finally:
        loop.call_soon_threadsafe(over.set)
        playing.join()
        loop.close()


def _made(attack: Attack, target: Target) -> Result:
    print(f"{attack.row:>3}  {attack.name} …", flush=True)
    happened, held = "the service is gone", False
    with target.victim.watched() as seen:
        try:
            happened, held = attack.make(target)
        except Exception as error:
            happened = f"{type(error).__name__}: {error}"[:120]
    limit_mb = STRANGERS_LIMIT_MB if attack.by_stranger else CALLERS_LIMIT_MB
    held = held and seen.alive and seen.slowest_health_s < HEALTH_LIMIT_S
    with suppress(OSError):
        target.victim.wait_idle()
    return Result(
        attack, happened, seen.slowest_health_s, seen.grown_mb, held and seen.grown_mb < limit_mb
    )


def _table(results: list[Result]) -> str:
    lines = [
        "| row | attack | what happened | `/health`, longest, s | memory, MB | held |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.attack.row} | {r.attack.name} | {r.happened} | {r.health_s:.2f} | {r.grown_mb:+.0f} "
        f"| {'yes' if r.held else '**no**'} |"
        for r in results
    ]
    return "\n".join(lines)


def _document(table: str) -> str:
    now = datetime.now(UTC)
    return f"""# Attacks

`make attack` on {now:%Y-%m-%d}: Python {platform.python_version()}, {os.cpu_count()} processors, a
service of its own in a gigabyte of memory, both models played on loopback. Held: what is asked for
was refused or bounded, others were served, `/health` answered within {HEALTH_LIMIT_S} s, and memory
grew by less than {STRANGERS_LIMIT_MB} MB for a stranger and {CALLERS_LIMIT_MB} MB for a key.

{table}

Not attacked here: what only a browser shows (`tests/pages/`).
"""


if __name__ == "__main__":
    sys.exit(main())
