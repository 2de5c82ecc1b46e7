"""No process that the service starts has anything of its environment, keys among them."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Serving
from tests.media.samples import data_url, picture
from tests.retrieval.extractors import files
from tests.upstream import Upstream, llama_says

PLANTED = "sk-planted-0123456789"


def environments() -> dict[str, bytes]:
    """What each child of this process was started with, by its command."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            with suppress(OSError):  # it has ended
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[f"{pid} {command}"] = Path(f"/proc/{pid}/environ").read_bytes()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_no_child_of_a_service_is_given_its_keys(
    upstream: Upstream, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of no setting's name, so that the service is as ever: what is inherited is all of it or none.
    monkeypatch.setenv("PLANTED", PLANTED)
    upstream.llama(llama_says("Un passaporto."))
    async with serving() as client:
        shown = {"message": "Cos'è?", "files": [data_url("image/png", picture("PNG"))]}
        assert (await client.post("/chat", json=shown)).status_code == 200
        pdf = ("law.pdf", files.pdf("Pasal 1 Pendahuluan", "Pasal 2 Penutup"))
        assert (await client.post("/documents", files={"file": pdf})).status_code == 201
        children = environments()

    commands = " ".join(children)
    assert "app.media.child" in commands
    assert "app.retrieval.reader_child" in commands
    assert [command for command, given in children.items() if PLANTED.encode() in given] == []
