"""Keys for tests."""

from pathlib import Path
from typing import Any

from app.access.key_store import KeyStore
from app.access.keys import Key, KeyScope, digest_of, new_key


def make_key(data_dir: Path, name: str, *scopes: KeyScope, **fields: Any) -> str:
    """Make a key in the data directory, as `zantara keys create` does."""
    key = new_key()
    assert KeyStore(data_dir).add(Key(name, digest_of(key), frozenset(scopes), **fields))
    return key


def bearing(key: str) -> dict[str, str]:
    """The header that a key is sent in."""
    return {"Authorization": f"Bearer {key}"}
