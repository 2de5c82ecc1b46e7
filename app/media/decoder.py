"""Pictures and videos are decoded in a child process, which hostile ones may take down alone.

One process for a request, begun when it is needed: it takes a third of a second,
which a picture's answer takes many times.
"""

import asyncio
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from app.errors import MediaRejected
from app.events import Picture
from app.settings import CHILD_ENVIRONMENT, ROOT

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 30.0
CPU_LIMIT_S = 20
MEMORY_LIMIT_BYTES = 1024**3
"""Of addresses: the decoders with their libraries take half of it."""
_AT_ONCE = asyncio.Semaphore(2)
"""As many as a small machine has processors: more at once would each take longer."""

Pictures = Mapping[str, tuple[Picture, ...]]
"""What became of each file, by its URL."""


class Reply(msgspec.Struct):
    """What the child made of them: pictures for each data URL, or the reason against."""

    pictures: list[list[Picture]] | None = None
    rejected: str | None = None
    traceback: str | None = None


def shown(urls: Iterable[str], pictures: Pictures) -> tuple[Picture, ...]:
    """What became of these."""
    return tuple(picture for url in urls for picture in pictures[url])


async def decoded(urls: Sequence[str]) -> Pictures:
    """The pictures in data URLs. Raises `MediaRejected`, which says which one, and why."""
    distinct = list(dict.fromkeys(urls))
    if not distinct:
        return {}
    async with _AT_ONCE:
        answer = await _ask(msgspec.msgpack.encode(distinct))
    reply = msgspec.msgpack.decode(answer, type=Reply)
    if reply.traceback:
        logger.warning("decoding failed:\n%s", reply.traceback)
    if reply.pictures is None:
        raise MediaRejected(reply.rejected or "cannot be decoded")
    return dict(zip(distinct, map(tuple, reply.pictures), strict=True))


async def _ask(request: bytes) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app.media.child",
        cwd=ROOT,
        env=CHILD_ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIME_LIMIT_S):
            answer, _ = await child.communicate(request)
    except TimeoutError:
        answer = b""
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if not answer:
        raise MediaRejected("a file takes too long to be decoded, or too much memory")
    return answer
