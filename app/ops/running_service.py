"""The service that runs with these settings, asked over HTTP.

One process holds a data directory; the commands of a second one ask the first.
"""

from typing import Any

import httpx
from pydantic import ValidationError

from app.access.keyring import OWN_KEY_FILE
from app.net import local_url
from app.settings import Settings
from app.wire.answer import Answer


def answer_of_running_service(settings: Settings, question: str) -> Answer | None:
    """Its answer; None when none runs at HOST and PORT, or it has no answer."""
    try:
        response = httpx.post(
            f"{url_of(settings)}/chat",
            json={"message": question},
            headers=key_of_running_service(settings),
            timeout=settings.total_timeout_s,
        )
        return Answer.model_validate_json(response.content)
    except (httpx.HTTPError, ValidationError):
        return None


def health_of_running_service(settings: Settings) -> dict[str, Any] | None:
    """What its `/health` says to an operator; None when none runs at HOST and PORT."""
    try:
        health = httpx.get(
            f"{url_of(settings)}/health", headers=key_of_running_service(settings), timeout=5.0
        ).json()
    except (httpx.HTTPError, ValueError):
        return None
    return health if isinstance(health, dict) and "knowledge" in health else None


def key_of_running_service(settings: Settings) -> dict[str, str]:
    """The header with the key that the service left in the data directory for its own user."""
    try:
        key = (settings.data_dir / OWN_KEY_FILE).read_text()
    except OSError:
        return {}  # an earlier version, or another user's: it says so itself
    return {"Authorization": f"Bearer {key}"}


def url_of(settings: Settings) -> str:
    """Where a service with these settings is reached from this machine."""
    return local_url(settings.host, settings.port)
