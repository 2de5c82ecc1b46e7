import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.access.keys import KeyScope
from app.private_files import keep_private
from tests.conftest import Serving
from tests.keys import make_key
from tests.upstream import Upstream, llama_says


@pytest.fixture
def careless() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(data_dir: Path) -> list[str]:
    paths = [data_dir, *data_dir.rglob("*")]
    return [f"{p}: {p.stat().st_mode:o}" for p in paths if p.stat().st_mode & 0o077]


@pytest.mark.usefixtures("careless")
async def test_all_files_of_data_dir_are_their_owners_alone_whatever_they_were(
    upstream: Upstream, serving: Serving, data_dir: Path
) -> None:
    for path in (data_dir, *data_dir.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    key = make_key(data_dir, "ops", KeyScope.ADMIN)
    upstream.llama(llama_says("Ciao."))
    async with serving() as client:
        client.headers["authorization"] = f"Bearer {key}"
        body = {"message": "Kites?", "conversation_id": "a-conversation-that-nobody-guesses"}
        assert (await client.post("/chat", json=body)).is_success
        file = {"file": ("kites.md", b"# Kites\n\nKites need a permit.\n")}
        assert (await client.post("/documents", files=file)).status_code == 201
        while_open = open_to_others(data_dir)
        names = {path.name for path in data_dir.rglob("*")}

    assert while_open == open_to_others(data_dir) == []
    assert {"zantara.db-wal", "conversations.db", "keys.db", "lock"} <= names


@pytest.mark.usefixtures("careless")
def test_a_directory_is_made_private_and_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(mode=0o644)
    data_dir = tmp_path / "new" / "data"
    keep_private(data_dir)
    (data_dir / "link").symlink_to(elsewhere)
    keep_private(data_dir)

    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644
