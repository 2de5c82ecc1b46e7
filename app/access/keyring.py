"""The keys that a running service knows, in memory: a check costs microseconds and no disk."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from app.access.key_store import KeyStore
from app.access.keys import EVERY_SCOPE, Key, configured, digest_of, new_key
from app.errors import StorageFailed
from app.settings import Settings

REFRESH_S = 2.0
"""After which a key that was made or revoked beside the service is known to be."""
OWN_KEY_FILE = "running.key"
OWN_KEY_NAME = "this machine's commands"

logger = structlog.get_logger(__name__)


class Keyring:
    """All keys by digest. `empty` is whether there are none at all, expired ones counted."""

    def __init__(self, fixed: list[Key], own: Key, kept: list[Key]) -> None:
        self._fixed = fixed
        self._own = own
        self.kept = kept

    @property
    def empty(self) -> bool:
        """Whether nobody was given a key yet."""
        return not self._fixed and not self.kept

    def find(self, key: str, now: Callable[[], float] = time.time) -> Key | None:
        """The key, unless it is unknown or has expired; takes as long whichever it is."""
        if not key:
            return None  # none was sent, which tells nothing of those there are
        digest = digest_of(key)
        found = None
        for known in (self._own, *self._fixed, *self.kept):
            # Every one is looked at, so that the time tells nothing of where one stands.
            if hmac.compare_digest(known.digest, digest):
                found = known
        if found is None or (found.expires is not None and found.expires <= now()):
            return None
        return found


@asynccontextmanager
async def open_keyring(settings: Settings) -> AsyncIterator[Keyring]:
    """The keys of the settings and of `DATA_DIR`, kept up with for the length of the block.

    A key of its own lies in `DATA_DIR` meanwhile, for this user's commands beside the
    service. Raises `StorageFailed` where the keys cannot be read at the start.
    """
    store = KeyStore(settings.data_dir)
    kept = await asyncio.to_thread(store.all)
    own = new_key()
    keyring = Keyring(
        list(configured(settings.api_keys)),
        Key(OWN_KEY_NAME, digest_of(own), EVERY_SCOPE),
        kept,
    )
    own_file = settings.data_dir / OWN_KEY_FILE
    try:
        own_file.unlink(missing_ok=True)
        own_file.touch(mode=0o600)
        own_file.write_text(own)
    except OSError as error:
        raise StorageFailed(f"{own_file} cannot be written: {error.strerror}") from error
    refreshing = asyncio.create_task(_refresh(keyring, store))
    try:
        yield keyring
    finally:
        refreshing.cancel()
        with suppress(asyncio.CancelledError):
            await refreshing
        own_file.unlink(missing_ok=True)


async def _refresh(keyring: Keyring, store: KeyStore) -> None:
    readable = True
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            keyring.kept = await asyncio.to_thread(store.all)
            readable = True
        except StorageFailed as error:
            if readable:
                logger.error("keys are as they were: they cannot be read", reason=str(error))  # noqa: TRY400 - the reason says it
            readable = False
