"""`zantara keys`: make, list and revoke keys. A running service heeds it within seconds."""

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from app.access.key_store import KeyStore
from app.access.keys import Key, KeyScope, digest_of, new_key
from app.errors import ZantaraError
from app.retrieval.options import NAME_PATTERN

SECONDS_A_DAY = 86_400

key_cli = typer.Typer(help="Make, list and revoke keys.", no_args_is_help=True)


def _names(values: list[str] | str) -> list[str] | str:
    for value in [values] if isinstance(values, str) else values:
        if not re.fullmatch(NAME_PATTERN, value):
            raise typer.BadParameter("expected letters, digits, dots, hyphens and underscores")
    return values


Name = Annotated[str, typer.Argument(callback=_names, help="What the key is called.")]


@key_cli.command()
def create(
    name: Name,
    scope: Annotated[
        list[KeyScope],
        typer.Option(help="What it opens; again for more. `admin` opens everything."),
    ] = [KeyScope.CHAT],  # noqa: B006 - copied
    group: Annotated[
        list[str],
        typer.Option(callback=_names, help="Of whom it reads what is not public; again for more."),
    ] = [],  # noqa: B006 - copied
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="It expires after; else never.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="In place of REQUESTS_PER_MINUTE_PER_KEY.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="In place of TOKENS_PER_MINUTE_PER_KEY.")
    ] = None,
    daily_usd: Annotated[
        float | None, typer.Option(min=0, help="US dollars that it may spend in a day (UTC).")
    ] = None,
) -> None:
    """Make a key, and print it: this once, since only its digest is kept."""
    key = new_key()
    made = Key(
        name,
        digest_of(key),
        frozenset(scope),
        frozenset(group),
        expires=time.time() + days * SECONDS_A_DAY if days else None,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        daily_usd=daily_usd,
    )
    if not _store().add(made):
        raise ZantaraError(f"there is a key named {name}; revoke it, or take another name")
    typer.echo(key)
    typer.echo("It is shown this once. Send it as: Authorization: Bearer …", err=True)


@key_cli.command(name="list")
def list_keys() -> None:
    """List the keys with what they open and their limits."""
    for key in _store().all():
        typer.echo("  ".join([f"{key.name:<20}", *_about(key)]))


@key_cli.command()
def revoke(name: Name) -> None:
    """Forget a key: it opens nothing any more, within seconds."""
    if not _store().revoke(name):
        raise ZantaraError(f"there is no key named {name}: zantara keys list")
    typer.echo(f"{name} was revoked")


def _store() -> KeyStore:
    from app.settings import load_settings  # late: `zantara --help` needs none

    return KeyStore(load_settings().data_dir)


def _about(key: Key) -> list[str]:
    opens = ",".join(scope for scope in KeyScope if scope in key.scopes)
    groups = f"groups {','.join(sorted(key.groups))}" if key.groups else ""
    limits = (
        (key.requests_per_minute, "{:,} requests/min"),
        (key.tokens_per_minute, "{:,} tokens/min"),
        (key.daily_usd, "${:g} a day"),
    )
    told = [form.format(value) for value, form in limits if value is not None]
    return [opens, *filter(None, [groups]), _until(key), *told]


def _until(key: Key) -> str:
    if key.expires is None:
        return "never expires"
    word = "expired" if key.expires <= time.time() else "until"
    return f"{word} {datetime.fromtimestamp(key.expires, UTC):%Y-%m-%d}"
