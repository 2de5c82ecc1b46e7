"""Attacks of `scripts/attack.py` that any key allows. Each is bounded in time and in bytes."""

import base64
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Final

import httpx

from app.chat.conversations import MAX_BYTES
from scripts.attack_models import LARGE_PROMPT_BYTES, LONG, NEW_NAME, PRICE_USD, SHOW, SLOW
from scripts.attack_storage import UdpSockets, size_of
from scripts.attack_target import OTHERS_LIMIT_S, Others, Outcome, Target

MEGABYTE = 1_000_000
SEARCHING_S: Final = 2.0
STOPPED_WITHIN_S: Final = 0.2
LEFT_S: Final = 0.6
"""By then the searches would not have reached their own limit of 3 s."""
IDLE: Final = 0.25
"""Of a processor: what answering `/health` again and again takes at the most."""
CONVERSATIONS_LIMIT_S: Final = 60.0


def unknown_names(target: Target) -> Outcome:
    """A body whose names nobody knows, each an error of its own."""
    body = b"{" + b",".join(b'"%06d":1' % n for n in range(590_000)) + b"}"
    began = time.monotonic()
    with target.client(target.attacker) as client:
        answers = [
            client.post(path, content=body, headers={"content-type": "application/json"})
            for path in ("/chat", "/v1/chat/completions", "/api/chat")
        ]
    took = time.monotonic() - began
    statuses = ", ".join(str(answer.status_code) for answer in answers)
    held = all(400 <= a.status_code < 500 and len(a.content) < 20_000 for a in answers)
    return f"{len(body) / MEGABYTE:.1f} MB three times: {statuses} in {took:.1f} s", held


def searches_with_translations(target: Target) -> Outcome:
    """The largest searches there are, many at once, while another searches too; then they leave."""
    text = ("kitas visa permit company " * 100)[:1900]
    # Of other codes than the documents' three none is embedded.
    codes = ["it", "en", "id", *(f"{chr(97 + n)}{chr(98 + n)}" for n in range(17))]
    with (
        target.client(target.other) as client,
        Others(lambda: client.post("/search", json={"query": "Quanto dura?"})) as others,
        ExitStack() as searches,
    ):
        for number in range(24):
            # Each text is another, since what is embedded is remembered.
            texts = {code: f"{number} {code} {text}" for code in codes}
            body = json.dumps({"query": f"{number} {text}", "translations": texts}).encode()
            connection = searches.enter_context(target.victim.connect())
            connection.sendall(_head_of("/search", target.attacker, len(body)) + body)
        spent = target.victim.processor_s()
        time.sleep(SEARCHING_S)
        during = (target.victim.processor_s() - spent) / SEARCHING_S
    time.sleep(STOPPED_WITHIN_S)
    spent = target.victim.processor_s()
    time.sleep(LEFT_S)
    after = (target.victim.processor_s() - spent) / LEFT_S
    degraded = sum(answer.json().get("degraded", True) for answer in others.answers)
    found = f"others' slowest search {others.slowest_s:.2f} s, {degraded} of "
    found += f"{len(others.answers)} degraded; {during:.0%} of a processor, {after:.0%} from "
    held = others.slowest_s < OTHERS_LIMIT_S and not degraded and after < max(during / 2, IDLE)
    return f"{found}{STOPPED_WITHIN_S} s after they left", held


def _head_of(path: str, key: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def files_that_are_something_else(target: Target) -> Outcome:
    """Lists of other files, and of addresses, under the name of a video."""
    sdp = b"v=0\no=- 0 0 IN IP4 0.0.0.0\ns=x\nc=IN IP4 0.0.0.0\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    said = []
    with target.client(target.attacker) as client, UdpSockets(target.victim.pid) as sockets:
        for content in (b"ffconcat version 1.0\nfile 'README.md'\n", sdp, b"#EXTM3U\nREADME.md\n"):
            url = "data:video/mp4;base64," + base64.b64encode(content).decode()
            answer = client.post("/chat", json={"message": "?", "files": [url]})
            said.append((answer.status_code, answer.text))
    leaks = [text for _, text in said if re.search(r"Error|av\.|/tmp|README|No such", text)]
    statuses = ", ".join(str(code) for code, _ in said)
    held = not leaks and not sockets.found and all(code == 422 for code, _ in said)
    opened = f"{len(leaks)} name a class or a path, {len(sockets.found)} UDP sockets opened"
    return f"ffconcat, SDP, a playlist: {statuses}; {opened}", held


def bodies_never_finished(target: Target) -> Outcome:
    """Bodies of nearly the largest size, all but their ends."""
    head = _head_of("/chat", target.attacker, 11_950_000)
    with ExitStack() as stack, target.client(target.other) as client:
        for _ in range(8):
            connection = stack.enter_context(target.victim.connect(2))
            with suppress(OSError):
                connection.sendall(head + b" " * 11_900_000)
        began = time.monotonic()
        answer = client.post(
            "/chat",
            content=b" " * 1_200_000 + b'{"message": "KITAS?"}',
            headers={"content-type": "application/json"},
        )
        took = time.monotonic() - began
    return f"another's body of 1.2 MB: {answer.status_code} in {took:.2f} s", answer.is_success


def a_document_of_headings(target: Target) -> Outcome:
    """A document of the more passages the fewer words it has; others write meanwhile."""
    text = "".join(f"# H{n}\n\na b{n}\n\n" for n in range(40_000)).encode()
    before = target.health()["knowledge"]["chunks"]
    status = 0

    def attack() -> None:
        nonlocal status
        with target.client(target.writer) as client, suppress(httpx.HTTPError):
            status = client.post("/documents", files={"file": ("h.md", text)}).status_code

    with target.client(target.admin) as admin:
        small = {"file": ("small.md", b"# Small\n\nA small document of two lines.\n")}
        attacking = threading.Thread(target=attack)
        attacking.start()
        time.sleep(0.5)
        took = []
        for method, path, files in (
            ("POST", "/documents", small),
            ("DELETE", "/documents/small", None),
        ):
            began = time.monotonic()
            with suppress(httpx.TimeoutException):
                admin.request(method, path, files=files)
            took.append(time.monotonic() - began)
        attacking.join()
    left = target.health()["knowledge"]["chunks"] - before
    what = f"{status}; an upload took {took[0]:.1f} s, a DELETE {took[1]:.1f} s, {left} chunks left"
    return what, 400 <= status < 500 and max(took) < OTHERS_LIMIT_S and left <= 0


def pictures_that_spell(target: Target) -> Outcome:
    """A model that obeys a document, and shows what a browser would fetch."""
    with target.client(target.attacker) as client:
        asked = {"message": f"{SHOW}: quanto capitale serve per una PT PMA?"}
        whole = client.post("/chat", json=asked).json()["answer"]
        openai = {"model": "zantara", "messages": [{"role": "user", "content": asked["message"]}]}
        other = client.post("/v1/chat/completions", json=openai).json()
    texts = (whole, other["choices"][0]["message"]["content"])
    left = [
        link for text in texts for link in re.findall(r"!?\[[^]]*\]\((?:https?|mailto|xmpp):", text)
    ]
    return f"{len(left)} of 36 pictures and links are left on /chat and /v1", not left


def slow_by_its_own_size(target: Target) -> Outcome:
    """Prompts so large that the first word takes its time: nobody else is to notice."""
    turns = [{"role": "user", "content": "capitale " * (LARGE_PROMPT_BYTES // 72)}] * 11
    with ThreadPoolExecutor(6) as pool:

        def attack() -> int:
            with target.client(target.attacker) as client:
                body = {"model": "llama-scout", "messages": turns}
                return client.post("/v1/chat/completions", json=body).status_code

        statuses = [each.result() for each in [pool.submit(attack) for _ in range(6)]]
    with target.client(target.other) as client:
        used = client.post("/chat", json={"message": "Quanto capitale?"}).json()["ai_used"]
    circuit = target.health()["providers"]["llama-scout"]["circuit"]
    shown = ", ".join(map(str, statuses))
    return f"{shown}; the circuit is {circuit}, {used} answers", used == "llama-scout"


def conversations_without_end(target: Target) -> Outcome:
    """Turns that are kept, each in a conversation of its own, beyond what a key may have."""
    before, answered_bytes, number = size_of(target.data_dir), 0, 0
    deadline = time.monotonic() + CONVERSATIONS_LIMIT_S
    with target.client(target.attacker) as client:
        while answered_bytes < 1.2 * MAX_BYTES and time.monotonic() < deadline:
            body = {"message": f"{LONG}?", "conversation_id": f"attack-0123456789-{number}"}
            answer = client.post("/chat", json=body).raise_for_status()
            answered_bytes += len(answer.json()["answer"])
            number += 1
        first = client.get("/conversations/attack-0123456789-0").status_code
        last = client.get(f"/conversations/attack-0123456789-{number - 1}").status_code
    grown = (size_of(target.data_dir) - before) / MEGABYTE
    told = f"{number} turns of {answered_bytes / MEGABYTE:.0f} MB: {grown:.0f} MB are kept"
    reached = answered_bytes > MAX_BYTES
    what = f"{told}; the first: {first}, the last: {last}"
    if not reached:
        what += f"; the bound of 67 MB is not reached in {CONVERSATIONS_LIMIT_S:.0f} s"
    expected = (404 if reached else 200, 200)
    return what, grown < 1.1 * MAX_BYTES / MEGABYTE and (first, last) == expected


def calls_broken_off(target: Target) -> Outcome:
    """A long prompt, whose answer is left at its first words."""
    prompt = f"{SLOW} " + "0123456789" * 3_000
    body = {
        "model": "llama-scout",
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
    }
    before = target.health()["measured"]["cost_usd"]
    with (
        target.client(target.attacker) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        next(line for line in answer.iter_lines() if "Dieci" in line)
    deadline = time.monotonic() + 5
    while (booked := target.health()["measured"]["cost_usd"] - before) == 0:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    least = len(prompt) / MEGABYTE * PRICE_USD
    return f"${booked:.4f} booked, of ${least:.4f} for the prompt", booked >= least


def paths_and_figures(target: Target) -> Outcome:
    """What a key without the scope `admin` is told."""
    with target.client(target.writer) as client:
        asked = client.get("/documents", params={"root": "/srv"}).status_code
        told = set(client.get("/health").json())
    extra = told - {"status", "service", "features"}
    return f"?root=: {asked}; /health tells {len(extra)} more than the guide's", (
        asked == 403 and not extra
    )


def names_of_models(target: Target) -> Outcome:
    """A provider that answers under another name each time."""
    with target.client(target.attacker) as client:
        for n in range(60):
            client.post("/chat", json={"message": f"{NEW_NAME} {n}?"})
    figures = httpx.get(f"http://127.0.0.1:{target.metrics_port}/metrics", timeout=30)
    return f"/metrics has {len(figures.content) / 1000:.0f} kB", len(figures.content) < 500_000
