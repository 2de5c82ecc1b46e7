"""The Dockerfile, carried out, and what the image is and does."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import ROOT
from tests.deploy import image

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _umask_of_a_builder() -> Iterator[None]:
    """Tests before these may have started a service, which makes files private."""
    before = os.umask(0o022)
    yield
    os.umask(before)


DOCKERFILE = ROOT / "Dockerfile"
STAGES = image.parse(DOCKERFILE.read_text())

# As on Fly.io, where the root is not read-only. /dev/shm is memory, of any container.
TRY_TO_WRITE = """
echo "uid $(id -u) gid $(id -G) $(grep CapEff /proc/self/status)"
for place in / /bin /boot /etc /home /lib /media /mnt /opt /root /run /run/lock /sbin /srv /tmp \
    /usr /usr/bin /usr/local /usr/local/bin /usr/local/lib /var /var/cache /var/lib /var/log \
    /var/tmp; do
  if (: > "$place/written") 2>/dev/null; then echo "wrote into $place"; fi
done
find /srv /etc/passwd /usr/local/bin/python3 -writable ! -type l -printf 'may write %p\\n'
: > /data/written && rm /data/written && echo "wrote into /data"
"""

SERVE_AND_ASK = """
"${SERVE[@]}" 2>&1 | grep -o "there are no keys: set API_KEYS"
export API_KEYS=zantara-key-for-the-test
"${SERVE[@]}" 2>/data/log &
until "${HEALTHCHECK[@]}" 2>/dev/null; do kill -0 %1 || { cat /data/log; exit 1; }; sleep 0.5; done
echo healthy
.venv/bin/python - <<'PYTHON'
import json, time, urllib.error, urllib.request
def ask(path, body=None):
    headers = {"content-type": "application/json"}
    headers["authorization"] = "Bearer zantara-key-for-the-test"
    request = urllib.request.Request(f"http://127.0.0.1:8080{path}", body, headers)
    return json.load(urllib.request.urlopen(request, timeout=120))
while True:
    try:
        ask("/ready")
        break
    except urllib.error.HTTPError:
        time.sleep(0.1)
print("documents", ask("/health")["knowledge"]["documents"])
page = urllib.request.urlopen("http://127.0.0.1:8080/static/chat.js", timeout=120)
print("page", page.headers["content-type"])
print("answer", ask("/chat", b'{"message": "Quanto capitale serve per una PT PMA?"}')["answer"])
PYTHON
kill -TERM %1 && wait %1 && echo "ended with $?"
touch /srv/app/x 2>/dev/null || echo "read-only"
ls .venv/bin
for tool in pip uv; do .venv/bin/python -m $tool --version 2>/dev/null && echo "has $tool"; done
/usr/local/bin/python -m pip --version 2>/dev/null && echo "has pip"
find app -name '*.py' | wc -l
find app -name '*.pyc' | wc -l
echo "in /srv:"
ls -A /srv
id -u
"""


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_every_stage_starts_from_the_same_python_and_holds_no_secret() -> None:
    text = DOCKERFILE.read_text()

    assert len(STAGES) == 2
    assert not re.search(r"KEY|SECRET|TOKEN|PASSWORD", text)
    assert "--require-hashes" in text
    allowed = set((ROOT / ".dockerignore").read_text().split())
    assert "*" in allowed
    assert not {"!.env", "!data", "!tests"} & allowed


def test_row_25_the_image_serves_as_nobody_who_writes_into_data_alone(tmp_path: Path) -> None:
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("carrying a Dockerfile out takes Linux and root")
    context = tmp_path / "context"
    context.mkdir()
    # What Docker would be sent: what git has, so that nothing of this machine comes along.
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    packed = subprocess.run(
        ["tar", "-c", "--null", "-T", "-"], input=files.stdout, cwd=ROOT, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", context], input=packed.stdout, check=True)
    scratch = tmp_path / "image"
    scratch.mkdir()
    final = STAGES[-1]
    commands = "".join(
        f"{variable}=({' '.join(shlex.quote(word) for word in final.command(instruction))})\n"
        for variable, instruction in (("SERVE", "CMD"), ("HEALTHCHECK", "HEALTHCHECK"))
    )
    printed = image.run(DOCKERFILE, context, scratch, commands + SERVE_AND_ASK, TRY_TO_WRITE)

    lines = printed.splitlines()
    assert "uid 10001 gid 10001 CapEff:\t0000000000000000" in lines
    assert [line for line in lines if "may write" in line or "wrote into" in line] == [
        "wrote into /data"
    ]
    assert "there are no keys: set API_KEYS" in lines  # its address is a public one
    assert "healthy" in lines
    # One of them is a table, which a child process reads: with a model that it unpacks.
    assert "documents 31" in lines
    assert "page text/javascript; charset=utf-8" in lines
    assert "10 miliardi di rupie" in printed
    assert "ended with 0" in lines
    assert "read-only" in lines
    assert not [line for line in lines if line.startswith("has ")], "build tools in the image"
    assert not {"pip", "uv", "pip3"} & set(lines)
    sources, compiled = (int(line) for line in lines if line.isdecimal() and line != "10001")
    assert sources == compiled > 50
    assert lines[-1] == "10001"
    in_srv = set(lines[lines.index("in /srv:") + 1 : -1])
    assert in_srv == {
        ".venv", "app", "knowledge", "pyproject.toml", "README.md",
        "requirements-uv.lock", "requirements.lock",
    }  # fmt: skip
