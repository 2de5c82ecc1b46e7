"""Chroma's client, embedded or of a server, with the limits and the errors that it lacks."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx

from app.errors import ConfigurationError, VectorsUnavailable
from app.retrieval.private_network import public_addresses

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

# Chroma's own client waits for ever.
_SERVER_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


def check_private(url: str) -> None:
    """Raises `ConfigurationError` for a server that strangers could reach. Blocks.

    A name that does not resolve now is looked at again by `served`.
    """
    host = httpx.URL(url).host
    if outside := public_addresses(host):
        raise ConfigurationError(
            f"CHROMA_URL: {host} is the public address {outside[0]}; a Chroma server has no "
            "authentication of its own: name one on loopback or a private network (10.0.0.0/8, "
            "172.16.0.0/12, 192.168.0.0/16, fc00::/7)"
        )


def embedded(directory: Path) -> "Client":
    """Open the index in a directory, in this process. Raises `VectorsUnavailable`."""
    # chromadb takes more than a second to import: the service listens meanwhile.
    from chromadb.api import ServerAPI
    from chromadb.api.client import Client
    from chromadb.config import Settings, System

    settings = Settings(
        anonymized_telemetry=False, is_persistent=True, persist_directory=str(directory)
    )
    with failures():
        # PersistentClient keeps a system that failed to start and hands it out for
        # the same directory ever after: start it first.
        system = System(settings)
        system.instance(ServerAPI)  # type: ignore[type-abstract]  # looked up, not made
        system.start()
        return Client.from_system(system)


def served(url: str) -> "Client":
    """Connect to the Chroma server at `url`. Raises `VectorsUnavailable`."""
    from chromadb import HttpClient
    from chromadb.config import Settings

    parts = httpx.URL(url)
    ssl = parts.scheme == "https"
    try:
        check_private(url)
    except ConfigurationError as error:
        # The name led elsewhere when the service started.
        raise VectorsUnavailable(str(error)) from error
    try:
        # HttpClient waits without a limit: ask first.
        with failures():
            heartbeat = httpx.get(f"{url}/api/v2/heartbeat", timeout=_SERVER_TIMEOUT_S)
            heartbeat.raise_for_status()
            client = HttpClient(
                parts.host,
                parts.port or (443 if ssl else 80),
                ssl,
                settings=Settings(anonymized_telemetry=False),
            )
    except ValueError as error:
        # What HttpClient makes of any failure while it connects.
        raise VectorsUnavailable(f"Chroma: {error}") from error
    for session in _sessions(client):
        session.timeout = httpx.Timeout(_SERVER_TIMEOUT_S)
        # A gateway's error page would come out as a plain Exception.
        session.event_hooks = {"response": [_refuse_server_errors]}
    return cast("Client", client)


def collection(client: "Client", name: str, **made_with: Any) -> "Collection":
    """The collection of that name, made where there is none; never one with a function.

    Chroma builds the embedding functions that a collection's record on the server names in this
    process, at each write, though all vectors are given: whoever reaches the server would
    choose what runs here. Such a collection is none of ours, and is replaced.
    """
    found = client.get_or_create_collection(name, embedding_function=None, **made_with)
    record = (found.configuration_json, found._model.serialized_schema)
    if _names_function(record):
        logger.error("Chroma's collection %s named an embedding function: made anew", name)
        client.delete_collection(name)
        found = client.get_or_create_collection(name, embedding_function=None, **made_with)
    return found


def _names_function(record: Any) -> bool:
    if isinstance(record, dict):
        function = record.get("embedding_function")
        if isinstance(function, dict) and "name" in function:
            return True
        record = record.values()
    elif not isinstance(record, list | tuple):
        return False
    return any(_names_function(part) for part in record)


def close(client: "Client") -> None:
    """Let go of the directory or the connections."""
    sessions = _sessions(client)
    client.close()
    for session in sessions:
        session.close()


@contextmanager
def failures() -> Iterator[None]:
    """Turn what Chroma raises into `VectorsUnavailable`."""
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, httpx.HTTPError) as error:
        raise VectorsUnavailable(f"Chroma: {error or type(error).__name__}") from error


def _sessions(client: Any) -> list[httpx.Client]:
    """The connections of a client to a server; none when it is embedded.

    Chroma 1.5.9 has no door to them, gives them no time limit and never closes them.
    """
    parts = (client._server, client._admin_client._server)
    return [part._session for part in parts if hasattr(part, "_session")]


def _refuse_server_errors(response: httpx.Response) -> None:
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise httpx.HTTPStatusError(
            f"HTTP {response.status_code}", request=response.request, response=response
        )
