"""Carries a Dockerfile out without an engine: every step, word for word, in a root of its own.

Each stage is an overlay of this machine's root in a mount namespace, with a bare Python under
/usr/local as the base image has it. The finished image runs as its own user, with its root
read-only, no network but loopback, and one directory that can be written. Needs Linux and root.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

BASE = re.compile(r"python:3\.11-slim")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FROM_HERE = ("PIP_", "UV_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""What reaches a package index from this machine; a real build has its own."""


@dataclass
class Stage:
    """One `FROM` and the instructions below it."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        return [text for name, text in self.steps if name == instruction][-1]

    def environment(self) -> dict[str, str]:
        pairs = [pair for name, text in self.steps if name == "ENV" for pair in shlex.split(text)]
        return dict(pair.split("=", 1) for pair in pairs)

    def command(self, instruction: str) -> list[str]:
        """The exec form of CMD, or of the CMD of HEALTHCHECK."""
        text = self.last(instruction)
        words: list[str] = json.loads(text[text.index("[") :])
        return words


def parse(dockerfile: str) -> list[Stage]:
    """The stages of a Dockerfile that uses FROM … AS, WORKDIR, ENV, COPY, RUN and USER."""
    lines = (line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#"))
    stages: list[Stage] = []
    for instruction in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        name, text = instruction.split(None, 1)
        if name == "FROM":
            image, *alias = text.split(" AS ")
            assert BASE.fullmatch(image), f"no stand-in for the base image {image}"
            stages.append(Stage(alias[0] if alias else "image"))
        else:
            stages[-1].steps.append((name, text))
    return stages


def script(
    stages: list[Stage], context: Path, scratch: Path, inside: str, before_read_only: str = ":"
) -> str:
    """The shell script that builds every stage and then runs `inside` in the last.

    `before_read_only` runs there before, while nothing but permissions protects the root.
    """
    lines = ["set -eu", f"mount -t tmpfs tmpfs {scratch}"]
    for stage in stages:
        lines += _build(stage, context, scratch)
    image, root = stages[-1], scratch / stages[-1].name / "root"
    # This machine's Python may look for its library where only root can read.
    base = {"PATH": PATH, "HOME": "/", "LD_LIBRARY_PATH": "/usr/local/lib"}
    environment = {**base, **image.environment()}
    uid = image.last("USER")
    as_user = (
        f"unshare --net chroot . {sys.executable} -c {shlex.quote(_LOOPBACK)} {uid} "
        f"{image.last('WORKDIR')} {shlex.quote(json.dumps(environment))}"
    )
    lines += [
        # A volume comes empty, and Fly.io's init gives its top to the image's user.
        f"mount -t tmpfs tmpfs {root}/data",
        f"chown {uid} {root}/data",
        f"(cd {root} && {as_user} {shlex.quote(before_read_only)})",
        f"mount -o remount,ro {root}",
        f"mount --bind -o ro {root}/usr/local {root}/usr/local",
        f"cd {root}",
        f"exec {as_user} {shlex.quote(inside)}",
    ]
    return "\n".join(lines)


_LOOPBACK = """
import fcntl, json, os, socket, struct, sys
uid, (folder, environment, inside) = int(sys.argv[1]), sys.argv[2:]
with socket.socket() as s:  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
os.setgroups([]), os.setgid(uid), os.setuid(uid), os.chdir(folder)
os.execve("/bin/bash", ["bash", "-uc", inside], json.loads(environment))
"""


def _build(stage: Stage, context: Path, scratch: Path) -> list[str]:
    top, root = scratch / stage.name, scratch / stage.name / "root"
    lines = [
        f"mkdir -p {top}/upper {top}/work {root} {top}/local-upper {top}/local-work",
        f"mount -t overlay overlay -o lowerdir=/,upperdir={top}/upper,workdir={top}/work {root}",
        f"mount -t overlay overlay -o lowerdir={sys.base_prefix}:/usr/local,"
        f"upperdir={top}/local-upper,workdir={top}/local-work {root}/usr/local",
        f"mount --rbind /proc {root}/proc && mount --rbind /dev {root}/dev",
        f"rm -rf {root}/srv && mkdir {root}/srv && mkdir -p {root}/data",
    ]
    environment = {name: os.environ[name] for name in os.environ if name.startswith(FROM_HERE)}
    environment |= {"PATH": PATH, "HOME": "/root"}
    folder = "/"
    for instruction, text in stage.steps:
        match instruction:
            case "WORKDIR":
                folder = text
                lines.append(f"mkdir -p {root}{folder}")
            case "ENV":
                environment |= dict(pair.split("=", 1) for pair in shlex.split(text))
            case "COPY":
                lines += _copy(text, context, scratch, f"{root}{folder}")
            case "RUN":
                command = re.sub(r"--mount=\S+\s+", "", text)
                given = " ".join(
                    shlex.quote(f"{name}={value}") for name, value in environment.items()
                )
                inside = shlex.quote(f"cd {folder} && {command}")
                lines.append(f"chroot {root} /usr/bin/env -i {given} /bin/sh -ec {inside}")
            case "USER" | "EXPOSE" | "HEALTHCHECK" | "CMD":
                pass
            case _:
                raise AssertionError(f"no stand-in for {instruction}")
    return lines


def _copy(text: str, context: Path, scratch: Path, folder: str) -> list[str]:
    *sources, target = [word for word in text.split() if not word.startswith("--")]
    origin = re.search(r"--from=(\S+)", text)
    to = target if target.startswith("/") else f"{folder}/{target}"
    if origin:
        to = folder.removesuffix(target) + target
        return [f"cp -a {scratch}/{origin[1]}/root{source}/. {to}" for source in sources]
    paths = [f"{context}/{source}" for source in sources]
    # As Docker does it, a folder's contents go into the target, files under it.
    return [
        f"mkdir -p {to} && cp -r {path}/. {to}" if Path(path).is_dir() else f"cp {path} {to}"
        for path in paths
    ]


def run(
    dockerfile: Path, context: Path, scratch: Path, inside: str, before_read_only: str = ":"
) -> str:
    """Build, and run `before_read_only` and `inside` with bash in the image; what they printed."""
    text = script(parse(dockerfile.read_text()), context, scratch, inside, before_read_only)
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", text],
        capture_output=True,
        text=True,
        umask=0o022,  # a builder's, whatever the tests before this one have set
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
