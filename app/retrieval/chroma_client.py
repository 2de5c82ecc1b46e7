"""Chroma's embedded client, with the errors that it lacks."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import VectorsUnavailable

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

logger = logging.getLogger(__name__)


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
    """Let go of the directory."""
    client.close()


@contextmanager
def failures() -> Iterator[None]:
    """Turn what Chroma raises into `VectorsUnavailable`."""
    from chromadb.errors import ChromaError

    try:
        yield
    except ChromaError as error:
        raise VectorsUnavailable(f"Chroma: {error or type(error).__name__}") from error
