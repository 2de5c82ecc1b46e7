"""`zantara`: serve, ask, doctor, costs, and what the other modules of commands add."""

import asyncio
import signal
import sqlite3
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from app.document_commands import INDEXING_TIMEOUT_S, configured, document_cli
from app.errors import StorageFailed, ZantaraError
from app.events import Event, Failed, Message, RouteChosen, TextDelta
from app.key_commands import key_cli
from app.retrieval.data_lock import check_not_in_use

if TYPE_CHECKING:
    from app.settings import Settings
    from app.wire.answer import Source

# What a command needs is imported in it: all of it takes two seconds, and most need little.

STARTUP_FAILED = 3
AFTER_A_TURN_S = 5
"""For the search before a turn, and its last bytes: the total limit is for the models alone."""
DAYS_OF_SPENDING = 31
MOST_QUESTIONS = 100_000_000
"""Of a kind; the columns have no room for more."""
NEWER_HAIKU = "anthropic:claude-haiku-5-5"

cli = typer.Typer(
    help="ZANTARA: answers on doing business in Indonesia.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


cli.add_typer(document_cli)
cli.add_typer(key_cli, name="keys")


def main() -> None:
    """Run a command. An error that the user can mend is one line and exit code 1."""
    try:
        cli()
    except ZantaraError as error:
        sys.exit(f"zantara: {error}")


@cli.command()
def serve() -> None:
    """Serve HTTP on HOST and PORT."""
    settings = configured()  # first: a wrong setting is refused before anything is loaded

    from app.main import create_app
    from app.server import DrainingServer, server_config

    # uvicorn raises the signal again once it has shut down: then a clean end is code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    drain_s = int(settings.total_timeout_s) + AFTER_A_TURN_S
    server = DrainingServer(server_config(create_app(settings), settings), drain_s)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)


@cli.command()
def ask(question: str) -> None:
    """Ask once, and print the answer with its sources."""
    settings = configured()
    try:
        check_not_in_use(settings.data_dir)
        asyncio.run(_ask(settings, question))
    except StorageFailed:
        # The service that holds the data directory can answer as well.
        from app.ops.running_service import answer_of_running_service

        answer = answer_of_running_service(settings, question)
        if answer is None:
            raise
        _print_route(answer.ai_used, answer.fallback_reason)
        typer.echo(answer.answer)
        _print_sources(answer.sources)


async def _ask(settings: "Settings", question: str) -> None:
    from app.chat.service import ChatService, Turn
    from app.llm.factory import open_client
    from app.ops.spending import recording
    from app.retrieval.knowledge_base import KnowledgeBase
    from app.wire.answer import AnswerFold

    async with KnowledgeBase.open(settings) as knowledge_base, open_client(settings) as client:
        await knowledge_base.wait_ready(INDEXING_TIMEOUT_S)
        service = ChatService(knowledge_base, client, settings)
        fold = AnswerFold()
        turn = Turn((Message("user", question),))
        with recording(settings.data_dir, client.ledger):
            async with aclosing(service.stream(turn)) as events:
                async for event in events:
                    fold.take(event)
                    _print_event(event)
        typer.echo()
        _print_sources(fold.sources)


def _print_event(event: Event) -> None:
    match event:
        case TextDelta():
            typer.echo(event.text, nl=False)
        case RouteChosen():
            _print_route(event.ai_used, event.fallback_reason)
        case Failed():
            typer.echo(f"\nthe answer broke off here: {event.message}; ask again", err=True)
        case _:
            pass


def _print_route(ai_used: str, reason: str | None) -> None:
    typer.echo(f"({ai_used}{f', {reason}' if reason else ''})\n", err=True)


def _print_sources(sources: "list[Source]") -> None:
    for source in sources:
        typer.echo(f"[{source.n}] {source.section or source.title} ({source.document_id})")


@cli.command()
def doctor() -> None:
    """Check keys, providers, disk and index, and say what to do."""
    all_well = asyncio.run(_examine(configured()))
    raise typer.Exit(0 if all_well else 1)


async def _examine(settings: "Settings") -> bool:
    from app.ops.doctor import Level, examine

    levels: set[Level] = set()
    async for finding in examine(settings):
        levels.add(finding.level)
        typer.echo(f"{finding.level:4}  {finding.subject}: {finding.found}")
        if finding.level is not Level.OK:
            typer.echo(f"      → {finding.advice}")
    return Level.FAIL not in levels


@cli.command()
def costs(
    casual: Annotated[
        int, typer.Option(min=0, max=MOST_QUESTIONS, help="Questions of 50 + 100 tokens.")
    ] = 10_000,
    business: Annotated[
        int, typer.Option(min=0, max=MOST_QUESTIONS, help="Of 300 + 1,000 tokens.")
    ] = 15_000,
    complex_: Annotated[
        int, typer.Option("--complex", min=0, max=MOST_QUESTIONS, help="Of 500 + 2,000.")
    ] = 5_000,
    beside: Annotated[
        list[str] | None, typer.Option(help="Another model, as provider:name.")
    ] = None,
) -> None:
    """What the guide's scenarios, and any other mix, cost; what was spent and saved."""
    from app.llm.factory import configured_prices
    from app.ops import costs as cost_report
    from app.ops.spending import spending
    from app.settings import load_settings

    settings = load_settings()
    others = [_provider_and_name(given) for given in dict.fromkeys([NEWER_HAIKU, *(beside or [])])]
    at_work = {("openrouter", settings.llama_model), ("anthropic", settings.haiku_model)}
    others = [other for other in others if other not in at_work]
    prices = configured_prices(settings)
    compared = cost_report.models(prices, settings.llama_model, settings.haiku_model, others)
    scenarios = [*cost_report.SINGLE, cost_report.mix(casual, business, complex_)]
    try:
        spent = spending(settings.data_dir, DAYS_OF_SPENDING)
    except sqlite3.Error as error:
        raise StorageFailed(f"the ledger in {settings.data_dir} cannot be read: {error}") from error
    lines = (*cost_report.report(scenarios, compared), "", *cost_report.spending_report(spent))
    typer.echo("\n".join(lines))


def _provider_and_name(given: str) -> tuple[str, str]:
    provider, _, name = given.partition(":")
    if not name:
        raise typer.BadParameter(f"'{given}': expected provider:name, such as {NEWER_HAIKU}")
    return provider, name
