import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.access import keyring
from app.access.key_store import FILE_NAME, KeyStore
from app.access.keyring import OWN_KEY_FILE, Keyring, open_keyring
from app.access.keys import EVERY_SCOPE, Key, KeyScope, configured, digest_of, new_key
from app.errors import StorageFailed
from tests.keys import make_key
from tests.service import settings_for


def ring(*keys: Key) -> Keyring:
    return Keyring([], Key("own", digest_of(new_key()), EVERY_SCOPE), list(keys))


def test_a_key_is_found_until_it_expires() -> None:
    key = new_key()
    known = ring(Key("web", digest_of(key), frozenset({KeyScope.CHAT}), expires=1_000.0))

    found = known.find(key, now=lambda: 999.9)
    assert found is not None
    assert found.name == "web"
    assert known.find(key, now=lambda: 1_000.0) is None
    assert known.find("") is None
    assert not known.empty


def test_the_setting_takes_keys_and_their_digests() -> None:
    plain, hidden = "a-key-of-twenty-characters", "another-key-of-some-length"
    setting = f"{plain}, sha256:{digest_of(hidden).hex()}"
    settings = settings_for(Path("unused"), api_keys=setting)

    known = Keyring(
        list(configured(settings.api_keys)), Key("own", digest_of(new_key()), EVERY_SCOPE), []
    )
    for key in (plain, hidden):
        found = known.find(key)
        assert found is not None
        assert found.may(KeyScope.ADMIN)
    assert known.find(f"sha256:{digest_of(hidden).hex()}") is None


def test_a_key_of_the_setting_keeps_its_name_when_another_is_taken_off_the_list() -> None:
    one, two = new_key(), new_key()
    of_both = [key.name for key in configured(SecretStr(f"{one},{two}"))]
    digest = f"sha256:{digest_of(two).hex()}"

    assert len(set(of_both)) == 2
    assert [key.name for key in configured(SecretStr(two))] == of_both[1:]
    assert [key.name for key in configured(SecretStr(digest))] == of_both[1:]


@pytest.mark.parametrize(
    "value", ["too-short", "sha256:12ab", "has a space in the middle of it", ","]
)
def test_a_setting_that_is_no_key_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ValueError, match="entry 1") as caught:
        settings_for(Path("unused"), api_keys=SecretStr(value))
    assert "short" not in str(caught.value)


def test_only_digests_are_kept_for_the_owner_alone(tmp_path: Path) -> None:
    key = make_key(tmp_path, "web", KeyScope.CHAT, groups=frozenset({"staff"}), daily_usd=1.5)

    path = tmp_path / FILE_NAME
    assert key.encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (kept,) = KeyStore(tmp_path).all()
    assert (kept.digest, kept.groups, kept.daily_usd) == (digest_of(key), frozenset({"staff"}), 1.5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_makes_keys_for_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 10001, 10001)
    make_key(tmp_path, "web", KeyScope.CHAT)

    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {10001}


def test_a_name_stands_for_one_key(tmp_path: Path) -> None:
    make_key(tmp_path, "web", KeyScope.CHAT)
    store = KeyStore(tmp_path)

    assert not store.add(Key("web", digest_of(new_key()), EVERY_SCOPE))
    assert store.revoke("web")
    assert not store.revoke("web")
    assert store.all() == []


def test_keys_that_cannot_be_read_are_no_empty_list(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 500)

    with pytest.raises(StorageFailed, match=f"{FILE_NAME} cannot be used: .*; restore a copy"):
        KeyStore(tmp_path).all()


async def test_a_running_service_learns_of_a_key_and_forgets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "REFRESH_S", 0.01)
    async with open_keyring(settings_for(tmp_path)) as known:
        assert known.empty
        key = make_key(tmp_path, "web", KeyScope.CHAT)
        await until(lambda: known.find(key) is not None)
        # What cannot be read for a while leaves the keys as they were.
        (tmp_path / FILE_NAME).rename(tmp_path / "aside")
        (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 500)
        assert known.find(key)
        (tmp_path / "aside").replace(tmp_path / FILE_NAME)
        KeyStore(tmp_path).revoke("web")
        await until(lambda: known.find(key) is None)
        own = (tmp_path / OWN_KEY_FILE).read_text()
        found = known.find(own)
        assert found is not None
        assert found.may(KeyScope.ADMIN)
    assert not (tmp_path / OWN_KEY_FILE).exists()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
