"""`zantara ingest` and `zantara delete`: documents in and out.

Where a running service has the data directory, these go through it.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import DataDirInUse
from app.retrieval.data_lock import check_not_in_use
from app.retrieval.ingest_report import IngestSummary, Progress, ProgressCallback
from app.retrieval.options import NAME_PATTERN, IngestOptions
from app.retrieval.records import ACCESS_GROUP, PUBLIC

if TYPE_CHECKING:
    from app.settings import Settings

# The knowledge base takes a second to import: it is imported where a command opens one, and no
# command that goes through a running service does.

INDEXING_TIMEOUT_S = 3600.0
LINE_EVERY_S = 10.0
"""Of progress, where it goes into a file or a log."""
PARTLY_DONE = 3
"""The exit code when something was refused or not found, and all else is done."""

document_cli = typer.Typer()


def _name(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(NAME_PATTERN, value):
        raise typer.BadParameter("expected letters, digits, dots, hyphens and underscores")
    return value


def _group(value: str) -> str:
    if not ACCESS_GROUP.fullmatch(value):
        raise typer.BadParameter("expected small letters, digits, hyphens and underscores")
    return value


@document_cli.command()
def ingest(
    paths: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="Files and folders.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(callback=_name, help="Stands before the documents' ids.")
    ] = None,
    access: Annotated[
        str, typer.Option(callback=_group, help="The one group that may read them.")
    ] = PUBLIC,
    force: Annotated[
        bool, typer.Option("--force", help="Index also what the gate would refuse.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Embed all that is stored afresh.")
    ] = False,
) -> None:
    """Index texts, pages, PDF, office files, tables and scans: what is unchanged costs nothing.

    What vanished from a folder is deleted, of the same collection only. Ends with code 3 when
    a file was refused.
    """
    if not paths and not rebuild:
        raise typer.BadParameter("name files or folders to index, or --rebuild")
    settings = configured()
    if rebuild:
        from app.retrieval.knowledge_base import KnowledgeBase

        with _progress_shown() as progress:
            chunks = asyncio.run(KnowledgeBase.rebuild(settings, progress))
        typer.echo(f"{chunks} chunks embedded afresh")
    if paths:
        options = IngestOptions(collection, access, force)
        try:
            with _progress_shown() as progress:
                summary = _ingest(settings, paths, options, progress)
        except KeyboardInterrupt:
            typer.echo("stopped; the same command goes on from here", err=True)
            raise
        for line in summary.marked:
            typer.echo(f"marked    {line}", err=True)
        for line in summary.skipped:
            typer.echo(f"skipped   {line}", err=True)
        for line in summary.rejected:
            typer.echo(f"rejected  {line}", err=True)
        typer.echo(summary)
        if summary.without_vectors:
            typer.echo(
                f"found by words alone for now: {summary.without_vectors}; the same command, or "
                "the service, goes on from here",
                err=True,
            )
        partly = summary.rejected or summary.without_vectors
        raise typer.Exit(PARTLY_DONE if partly else 0)


@document_cli.command()
def delete(
    ids: Annotated[list[str] | None, typer.Argument(help="Documents by their ids.")] = None,
    gone: Annotated[
        Path | None, typer.Option("--from", help="All that was ingested from this folder or file.")
    ] = None,
) -> None:
    """Forget documents; the files stay. Ends with code 3 when there was no such document."""
    if not ids and not gone:
        raise typer.BadParameter("name documents by their ids, or a folder with --from")
    settings = configured()
    root = str(gone.resolve()) if gone else None
    try:
        check_not_in_use(settings.data_dir)
        unknown, deleted = asyncio.run(_delete(settings, ids or [], root))
    except DataDirInUse:
        from app.ops.running_documents import RunningDocuments

        with RunningDocuments.open(settings) as documents:
            wanted = [*(ids or []), *(documents.ids_from(root) if root else [])]
            unknown = [i for i in wanted if not documents.delete(i)]
            deleted = len(wanted) - len(unknown)
    for document_id in unknown:
        typer.echo(f"unknown   {document_id}", err=True)
    typer.echo(f"{deleted} deleted")
    raise typer.Exit(PARTLY_DONE if unknown or not deleted else 0)


def configured() -> "Settings":
    """Return the settings, with the logs as they say."""
    from app.ops.logging import configure_logging
    from app.settings import load_settings

    settings = load_settings()
    configure_logging(settings.log_format)
    return settings


def _ingest(
    settings: "Settings", paths: Sequence[Path], options: IngestOptions, progress: ProgressCallback
) -> IngestSummary:
    async def here() -> IngestSummary:
        from app.retrieval.knowledge_base import KnowledgeBase

        async with KnowledgeBase.open(settings) as knowledge_base:
            await knowledge_base.wait_ready(INDEXING_TIMEOUT_S)
            return await knowledge_base.add(paths, progress, options)

    try:
        check_not_in_use(settings.data_dir)
        return asyncio.run(here())
    except DataDirInUse:
        from app.ops.running_documents import RunningDocuments

        with RunningDocuments.open(settings) as documents:
            return documents.add(paths, options, progress)


async def _delete(
    settings: "Settings", ids: Sequence[str], root: str | None
) -> tuple[list[str], int]:
    from app.retrieval.knowledge_base import KnowledgeBase

    async with KnowledgeBase.open(settings) as knowledge_base:
        await knowledge_base.wait_ready(INDEXING_TIMEOUT_S)
        wanted = [*ids, *(await knowledge_base.ids_from(root) if root else [])]
        unknown = [i for i in wanted if not await knowledge_base.delete(i)]
        return unknown, len(wanted) - len(unknown)


@contextmanager
def _progress_shown() -> Iterator[ProgressCallback]:
    """On standard error a bar with rate and time left; where that is no terminal, some lines."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.description}", markup=False))
    is_terminal = console.is_terminal
    with Bar(*columns, console=console, transient=True, disable=not is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        said_at = time.monotonic()

        def show(step: Progress) -> None:
            nonlocal said_at
            line = f"{step}: {Path(step.path).name}" if step.path else str(step)
            # The bar is drawn ten times a second; the end of a stage may be gone before.
            bar.update(task, completed=step.share, description=line, refresh=step.share >= 1)
            if not is_terminal and time.monotonic() >= said_at + LINE_EVERY_S:
                said_at = time.monotonic()
                typer.echo(line, err=True)

        yield show
