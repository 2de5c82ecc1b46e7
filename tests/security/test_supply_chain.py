"""Row 24 of the security matrix: what is installed, what is known of it, and what is committed."""

import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from app.settings import ROOT
from scripts.sbom import LICENCES, SBOM, parts

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))
INSTALLERS = {
    "pip": [sys.executable, "-m", "pip", "install", "--no-index", "--no-cache-dir"],
    "uv": [str(BIN / "uv"), "pip", "install", "--no-index", "--no-cache"],
}


def entries(lock: Path) -> list[str]:
    """Each package of a lock, with its hashes."""
    parts = re.split(r"\n(?=[a-z0-9])", lock.read_text())
    return [part for part in parts if re.match("[a-z0-9]", part)]


def test_row_24_every_package_is_installed_by_its_hash() -> None:
    for lock in LOCKS:
        assert len(entries(lock)) > 0
        for entry in entries(lock):
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), (lock.name, entry)
    packed = json.loads((ROOT / "tests" / "clients" / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packed.items() if name and "integrity" not in package]
    for file in (ROOT / "Makefile", ROOT / "Dockerfile"):
        installs = re.findall(r"pip install .*", file.read_text().replace("\\\n", " "))
        assert len(installs) > 1
        for command in installs:
            # Of this project itself there is no hash, and nothing else comes with it; what is only
            # measured beside it lives in an environment of its own.
            own = "--no-deps -e ." in command or "--python .venv-peers/" in command
            assert "--require-hashes" in command or own, command
    assert "npm ci" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("installer", INSTALLERS)
def test_row_24_a_tampered_hash_makes_the_install_fail(installer: str, tmp_path: Path) -> None:
    wheel = tmp_path / "sealed-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("sealed.py", "")
        metadata = {"METADATA": "Metadata-Version: 2.1\nName: sealed\nVersion: 1.0\n"}
        metadata["WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        metadata["RECORD"] = "sealed.py,,\n"
        for name, text in metadata.items():
            file.writestr(f"sealed-1.0.dist-info/{name}", text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    tampered = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    locks = {"sound": f" --hash=sha256:{digest}", "tampered": f" --hash=sha256:{tampered}"}

    outcomes = {}
    for kind, sealed_by in {**locks, "unsealed": ""}.items():
        lock, target = tmp_path / f"{kind}.lock", tmp_path / kind
        lock.write_text(f"sealed==1.0{sealed_by}\n")
        command = [*INSTALLERS[installer], "--find-links", str(tmp_path), "--target", str(target)]
        done = subprocess.run(
            [*command, "--require-hashes", "-r", str(lock)], capture_output=True, text=True
        )
        outcomes[kind] = (done.returncode == 0, (target / "sealed.py").exists())
        if kind != "sound":
            assert "hash" in done.stderr.lower()

    assert outcomes == {
        "sound": (True, True),
        "tampered": (False, False),
        "unsealed": (False, False),
    }


@contextmanager
def advisory_service(folder: Path, answers: dict[str, tuple[int, Any]]) -> Iterator[dict[str, str]]:
    """Plays the package index's advisories over TLS, through a proxy that leads every host here.

    `answers` has status and body for a package's name; yields an environment that leads to it.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(self.path.partition(":")[0]).configure_cert(context)
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = (
                self.connection.makefile("rb"),
                self.connection.makefile("wb", 0),
            )
            self.close_connection = False

        def do_GET(self) -> None:
            status, body = answers[self.path.split("/")[2]]
            sent = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def finish(self) -> None:
            super().finish()
            self.connection.close()  # the server closes the one that TLS has taken over

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        home = {name: str(folder) for name in ("HOME", "XDG_CACHE_HOME", "PIP_CACHE_DIR")}
        proxy = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield (
                os.environ
                | home
                | {
                    "HTTPS_PROXY": proxy,
                    "REQUESTS_CA_BUNDLE": str(folder / "ca.pem"),
                }
            )
        finally:
            server.shutdown()


KNOWN_BAD: dict[str, list[dict[str, Any]]] = {
    "vulnerabilities": [
        {
            "id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "summary": "Runs what it is sent.",
            "details": "", "fixed_in": ["99.0"], "withdrawn": None,
        }
    ]
}  # fmt: skip
NOTHING_KNOWN: dict[str, Any] = {"vulnerabilities": []}
# As the service tells of it: one of those that SECURITY.md lists, by another of its names.
UNMENDED = {
    "vulnerabilities": [
        {**KNOWN_BAD["vulnerabilities"][0], "aliases": ["CVE-2026-45829"], "fixed_in": []}
    ]
}


def audited(
    target: str, probed: tuple[int, Any], first: tuple[int, Any], folder: Path, *variables: str
) -> tuple[bool, str]:
    """Whether a target of the Makefile passes on a short lock, and what it says.

    `probed` is what is answered of uv, `first` of the lock's first package.
    """
    lock = folder / "copy.lock"
    lock.write_text("\n".join(entries(ROOT / "requirements.lock")[:3]) + "\n")
    name, *others = re.findall(r"(?m)^([a-z0-9-]+)==", lock.read_text())
    answers = {"uv": probed, name: first} | dict.fromkeys(others, (200, NOTHING_KNOWN))
    # What it needs is there, as tests run.
    command = ["make", "-s", "-o", ".venv/dev", target, f"AUDITED={lock}", f"BIN={BIN}"]
    command += variables
    with advisory_service(folder, answers) as environment:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


CLEAN, BAD = (200, NOTHING_KNOWN), (200, KNOWN_BAD)
AUDITS = [
    (CLEAN, True, "No known vulnerabilities found"),
    (BAD, False, "PYSEC-2026-1"),
    ((200, UNMENDED), True, "1 ignored"),
    ((404, {}), False, "could not be audited"),
    ((503, {}), False, "503"),
]


@pytest.mark.parametrize(("answer", "passes", "says"), AUDITS)
def test_row_24_an_audit_passes_only_where_every_package_was_looked_up(
    answer: tuple[int, Any], passes: bool, says: str, tmp_path: Path
) -> None:
    passed, said = audited("audit", CLEAN, answer, tmp_path)
    assert (passed, says in said) == (passes, True), said


def test_an_advisory_is_let_pass_for_a_reason_and_until_a_day(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    unmended, look_again = re.findall(r"(?m)^(?:UNMENDED|LOOK_AGAIN) := (.*)$", makefile)
    listed = re.findall(
        r"(?m)^\| ((?:CVE|GHSA)-\S+?)(?: \(\S+\))? \| \w.+ \| (\d{4}-\d\d-\d\d) \|$",
        (ROOT / "SECURITY.md").read_text(),
    )
    passed, said = audited("audit", CLEAN, CLEAN, tmp_path, "LOOK_AGAIN=2026-01-01")

    assert listed == [(name, look_again) for name in unmended.split()]
    assert (passed, "time to look again" in said) == (False, True)


@pytest.mark.parametrize(
    ("probed", "answer", "passes", "says"),
    [
        *((CLEAN, *audit) for audit in AUDITS),
        (BAD, CLEAN, True, "No known vulnerabilities found"),  # uv is not in this lock
        ((404, {}), BAD, True, "NOT AUDITED"),
        ((503, {}), BAD, True, "NOT AUDITED"),
    ],
)
def test_row_24_check_audits_where_it_can_and_says_so_where_it_cannot(
    probed: tuple[int, Any], answer: tuple[int, Any], passes: bool, says: str, tmp_path: Path
) -> None:
    passed, said = audited("audit-where-reached", probed, answer, tmp_path)
    assert (passed, says in said) == (passes, True), said
    assert ("NOT AUDITED" in said) == (probed[0] != 200)


def test_what_is_committed_holds_no_secret_and_a_key_would_be_found(tmp_path: Path) -> None:
    keys = {
        "openrouter": f"sk-or-v1-{hashlib.sha256(b'1').hexdigest()}",
        "anthropic": f"sk-ant-api03-{hashlib.sha256(b'2').hexdigest()}",
        "own": f"zantara-{hashlib.sha256(b'3').hexdigest()}",
        "own-made": "zantara-" + hashlib.sha256(b"4").hexdigest()[:43],
        "aws": "AKIA" + hashlib.sha256(b"5").hexdigest()[:16].upper(),
    }
    for name, key in keys.items():
        (tmp_path / name).write_text(f"# a comment\nx = {key}\n")
    scan = [str(BIN / "detect-secrets-hook"), "--no-verify", "--baseline", ".secrets.baseline"]
    done = subprocess.run(
        [*scan, *(str(tmp_path / name) for name in keys)], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert {name for name in keys if f"{tmp_path / name}:2" in done.stdout} == set(keys)
    assert json.loads((ROOT / ".secrets.baseline").read_text())["results"] == {}


def test_the_bill_of_materials_and_the_licences_are_those_of_the_lock() -> None:
    text = SBOM.read_text()
    named = {(part["name"], part["version"]) for part in json.loads(text)["components"]}
    listed = re.findall(r"(?m)^\| ([\w.-]+) \| (\d[\w.-]*) \| (\S.*) \|$", LICENCES.read_text())

    assert listed == [(part.name, part.version, part.licence) for part in parts()]
    assert named == {(name, version) for name, version, _ in listed}
    assert "unknown" not in LICENCES.read_text().lower()
    assert not re.search(r"https?://(?!cyclonedx\.org/)", text)
