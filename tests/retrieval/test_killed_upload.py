"""What an upload that was answered is worth when the process is killed at that moment."""

import os
import signal
import time
from pathlib import Path

import httpx

from tests.attacking import free_port, victim
from tests.retrieval.test_vector_worker import document

PARTS = 60


def upload_and_kill(url: str, pid: int) -> None:
    file = {"file": ("harbours.md", document("harbour", PARTS))}
    sent = httpx.post(f"{url}/documents", files=file, data={"force": "true"}, timeout=60)
    os.kill(pid, signal.SIGKILL)
    assert sent.status_code == 201, sent.text
    assert (sent.json()["vectors"], sent.json()["chunks"]) == ("pending", PARTS)


def test_an_upload_that_was_answered_is_found_after_a_kill_and_has_its_vectors(
    tmp_path: Path, data_dir: Path
) -> None:
    env = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_PROXY")},
        "DATA_DIR": str(data_dir),
        "PORT": str(free_port()),
    }
    with victim(env, tmp_path / "killed") as running:
        upload_and_kill(running.url, running.pid)
    with victim(env, tmp_path / "next") as running:
        found = httpx.post(f"{running.url}/search", json={"query": "harbour 41"}, timeout=60)
        assert found.json()["passages"][0]["document_id"] == "harbours", found.text
        deadline = time.monotonic() + 120
        while (entry := httpx.get(f"{running.url}/documents/harbours").json())[
            "vectors"
        ] != "ready":
            assert time.monotonic() < deadline, entry
    assert entry["passages_with_vectors"] == PARTS
