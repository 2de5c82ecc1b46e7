"""Documents into and out of the service that holds the data directory, over HTTP."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from app.errors import DocumentRejected, ZantaraError
from app.ops.running_service import key_of_running_service, url_of
from app.retrieval.ingest_report import (
    Ingested,
    IngestSummary,
    Meter,
    Notice,
    PassageMeter,
    ProgressCallback,
)
from app.retrieval.options import IngestOptions
from app.retrieval.records import Identity
from app.retrieval.sources import File, Source, check_not_taken, read_file, survey
from app.settings import Settings

_PAGE = 500
# Reading a file takes two minutes at the most, and may wait for others.
_UPLOAD_TIMEOUT_S = 3600.0
_ASK_AGAIN_S = 1.0
"""While vectors are waited for."""


class RunningDocuments:
    """The documents of a running service. Raises `ZantaraError` when it fails or goes away."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator["RunningDocuments"]:
        """Those of the service at HOST and PORT."""
        timeout = httpx.Timeout(10.0, read=_UPLOAD_TIMEOUT_S, write=_UPLOAD_TIMEOUT_S)
        try:
            key = key_of_running_service(settings)
            with httpx.Client(base_url=url_of(settings), headers=key, timeout=timeout) as client:
                yield cls(client)
        except httpx.HTTPError as error:
            raise ZantaraError(
                f"the service at {url_of(settings)} cannot be asked ({type(error).__name__}): run "
                "this again to go on, with its HOST and PORT or when it has ended"
            ) from error

    def add(
        self, paths: Sequence[Path], options: IngestOptions, progress: ProgressCallback
    ) -> IngestSummary:
        """Send files and folders, and wait for the vectors; what vanished from one is deleted."""
        found = survey([Source(path) for path in paths], options.collection, self._identities())
        summary = IngestSummary(rejected=found.rejected, skipped=found.skipped)
        # First, since the service would take a renamed file for a copy.
        summary.deleted = sum(map(self.delete, sorted(found.vanished)))
        meter = Meter([file.size for file in found.files], progress)
        taken: set[str] = set()
        for file in found.files:
            path = str(file.path)
            try:
                check_not_taken(file, taken)
                summary.count(path, self._send(file, options))
                taken.add(file.document_id)
            except DocumentRejected as error:
                summary.rejected.append(Notice(path, str(error)))
            meter.file(path)
        if summary.successors:
            summary.mark_successors(self._identities())
        self._wait_for_vectors({file.root for file in found.files}, PassageMeter(progress))
        return summary

    def _wait_for_vectors(self, roots: Collection[str], meter: PassageMeter) -> None:
        while left := sum(map(self._pending_vectors, roots)):
            meter.left(left)
            time.sleep(_ASK_AGAIN_S)
        meter.left(0)

    def _pending_vectors(self, root: str) -> int:
        answer = self._client.get("/documents", params={"limit": 1, "root": root})
        _check(answer)
        pending: int = answer.json()["pending_vectors"]
        return pending

    def delete(self, document_id: str) -> bool:
        """False when there is no such document."""
        answer = self._client.delete(f"/documents/{quote(document_id)}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        _check(answer)
        return True

    def ids_from(self, root: str) -> list[str]:
        """The ids of the documents that were ingested from there, or from within it."""
        return [document["id"] for document in self._documents(root=root)]

    def _identities(self) -> dict[str, Identity]:
        return {
            document["id"]: Identity(document["root"] or "", "", document["collection"])
            for document in self._documents()
        }

    def _documents(self, **params: str) -> Iterator[dict[str, Any]]:
        for offset in count(0, _PAGE):
            place = {"limit": _PAGE, "offset": offset}
            answer = self._client.get("/documents", params={**params, **place})
            _check(answer)
            page = answer.json()["documents"]
            yield from page
            if len(page) < _PAGE:
                return

    def _send(self, file: File, options: IngestOptions) -> Ingested:
        name = file.document_id.removeprefix(f"{options.collection}/") + file.path.suffix
        said = {
            "collection": options.collection,
            "access": options.access,
            "force": str(options.force).lower(),
            "root": file.root,
        }
        answer = self._client.post(
            "/documents",
            files={"file": (name, read_file(file.path))},
            data={key: value for key, value in said.items() if value is not None},
        )
        if answer.status_code in (
            httpx.codes.UNPROCESSABLE_ENTITY,
            httpx.codes.REQUEST_ENTITY_TOO_LARGE,
        ):
            raise DocumentRejected(_detail(answer))
        _check(answer)
        stored: dict[str, Any] = answer.json()
        written = stored["change"] != "unchanged"
        return Ingested(
            stored["id"],
            stored["change"],
            stored["chunks"] if written else 0,
            tuple(stored["marks"]) if written else (),
            stored["supersedes"] if written else None,
        )


def _check(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise ZantaraError(f"the service answered {answer.status_code}: {_detail(answer)}")


def _detail(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        fields = [f"{error['field']}: {error['message']}" for error in problem.get("errors", [])]
        return "; ".join([str(problem["detail"]), *fields])
    except (ValueError, KeyError, TypeError):
        return f"{answer.text:.200}"
