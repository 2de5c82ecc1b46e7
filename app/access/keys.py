"""Keys: what each one may do, and how one is made. Only their digests are ever kept."""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

DIGEST_PREFIX = "sha256:"
KEY_PREFIX = "zantara-"
"""So that a scan for secrets knows a key that was left somewhere."""
_RANDOM_BYTES = 32


class KeyScope(StrEnum):
    """What a key opens."""

    CHAT = "chat"  # asking, and searching
    DOCUMENTS = "documents"  # listing, sending and deleting documents
    ADMIN = "admin"  # the console, every group's documents, and the two above


EVERY_SCOPE = frozenset(KeyScope)


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key, but for the key itself.

    `groups` are the access groups that it reads beside what is public. `expires` is in
    seconds since 1970. The limits are its own, and None where the settings' hold:
    requests and tokens a minute, US dollars a day.
    """

    name: str
    digest: bytes
    scopes: frozenset[KeyScope]
    groups: frozenset[str] = frozenset()
    expires: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    daily_usd: float | None = None

    def may(self, scope: KeyScope) -> bool:
        """Whether it opens what needs that scope; `admin` opens everything."""
        return scope in self.scopes or KeyScope.ADMIN in self.scopes


def new_key() -> str:
    """A key that nobody can guess: 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: str) -> bytes:
    """SHA-256 of the key. A key is random and long, so it needs no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def configured(setting: SecretStr | None) -> Iterator[Key]:
    """The keys of the setting `API_KEYS`, which its validator has found well formed."""
    if setting is None:
        return
    for entry in setting.get_secret_value().split(","):
        _, is_digest, digest = entry.partition(DIGEST_PREFIX)
        found = bytes.fromhex(digest) if is_digest else digest_of(entry)
        # Not by its place: whoever moves up would have the conversations of the key before it.
        yield Key(f"API_KEYS {found.hex()[:16]}", found, EVERY_SCOPE)
