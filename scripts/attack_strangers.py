"""Attacks of `scripts/attack.py` that need no key. Each is bounded in time and in bytes."""

import os
import socket
import subprocess
import sys
import threading

from scripts.attack_target import Outcome, Target, of
from tests.attacking import answered


def head_without_end(target: Target) -> Outcome:
    """Heads that do not end: many lines, one line, a target, empty lines."""
    statuses = []
    starts = (b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\na: ", b"GET /", b"")
    for start, piece in zip(starts, (b"a: b\r\n", b"b", b"a", b"\r\n"), strict=True):
        answer = target.victim.send([start, *of(piece)], timeout_s=10)
        statuses.append(answer.split(b" ")[1].decode() if answer else "closed")
    return f"44 MB each: {', '.join(statuses)}", "200" not in statuses


def requests_in_one_write(target: Target) -> Outcome:
    """Requests without number, none of which waits for its answer."""
    asked = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    number, spent = 8_000, target.victim.processor_s()
    with target.victim.connect() as connection:
        everything = (asked + b"\r\n") * number + asked + b"Connection: close\r\n\r\n"
        sending = threading.Thread(target=connection.sendall, args=(everything,))
        sending.start()
        answers = answered(connection).count(b"HTTP/1.1 200")
        sending.join()
    spent = target.victim.processor_s() - spent
    return f"{answers:,} answers, {spent:.1f} s of the processor", answers == number + 1


def forwarded_headers(target: Target) -> Outcome:
    """Headers that say another address, and a server that believes them."""
    said = set()
    with target.client() as client:
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Fly-Client-IP"):
            for value in ("127.0.0.1", "for=127.0.0.1", "::1, 127.0.0.1"):
                said.add(client.get("/documents", headers={name: value}).status_code)
    command = (sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0")
    env = {**os.environ, "DATA_DIR": str(target.data_dir / "none")}
    started = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)  # noqa: S603 - a constant
    under = "does not start" if started.returncode else "starts"
    return f"{sorted(said)}; under uvicorn alone it {under}", said == {401} and bool(
        started.returncode
    )


def other_sites_without_keys(target: Target) -> Outcome:
    """Of a service that has no keys."""
    said: dict[str, int] = {}
    with target.client() as client:
        for site in ("cross-site", "same-site"):
            answer = client.get("/documents", headers={"Sec-Fetch-Site": site})
            said[site] = answer.status_code
    for host in ("evil@127.0.0.1", "127.0.0.1/evil.example", "localhost.evil"):
        with socket.create_connection(("127.0.0.1", target.victim.port), timeout=10) as connection:
            head = f"GET /documents HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            said[host] = int(answered(connection).split(b" ")[1])
    shown = ", ".join(f"{name} {status}" for name, status in said.items())
    return shown, all(status in (400, 401) for status in said.values())
