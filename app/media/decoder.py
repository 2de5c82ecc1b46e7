"""Pictures and videos are decoded in child processes, which a hostile one may take down alone.

Each file has a process of its own, so that none meets what another left behind.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from app.errors import ChildFailed, MediaRejected
from app.events import Picture
from app.limits import FairQueue, caller_name
from app.sandbox import Child, Limits, Spare

logger = logging.getLogger(__name__)

LIMITS: Final = Limits(
    # The longest videos that fit into a request, 40 s of 720p or 20 of 1080p, take 1 to 2 s.
    time_s=10,
    cpu_s=5,
    # Of addresses: the decoders with their libraries take half of it.
    memory_bytes=1024**3,
    answer_bytes=16 * 1024**2,
)
_AT_ONCE: Final = 2
"""As many as a small machine has processors: more at once would each take longer."""
_PICTURE_COST, _VIDEO_COST = 1, 10
_ROOM: Final = 200
"""Of one caller: what keeps both processors busy for half a minute."""

Pictures = Mapping[str, tuple[Picture, ...]]
"""What became of each file, by its URL."""


class Reply(msgspec.Struct):
    """What the child made of a file: pictures, or the reason against."""

    pictures: tuple[Picture, ...] = ()
    rejected: str | None = None


class Decoder:
    """Decodes files, a few at a time; a child process is ready once the first was taken.

    Args:
        limits: The bounds of one file.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._spare = Spare(lambda: Child("app.media.child", limits))
        # Nobody's first file waits for those of one other caller.
        self._queue = FairQueue("decoded", capacity=_AT_ONCE, room=_ROOM, reserve=1)

    def close(self) -> None:
        """End the child that is ready."""
        self._spare.close()
        self._queue.close()

    async def decoded(self, urls: Sequence[str]) -> Pictures:
        """The pictures in data URLs. Callers take turns, one file a turn.

        Args:
            urls: The files. A declared type does not decide how one is read, its first bytes do.

        Raises:
            MediaRejected: A file cannot be shown; the message says which one, and why.
            TooMuchWaiting: The caller has too many files waiting already.
        """
        distinct = list(dict.fromkeys(urls))
        decoding = [
            asyncio.create_task(self._decode(url, f"file {number} of {len(distinct)}"))
            for number, url in enumerate(distinct, 1)
        ]
        try:
            return dict(zip(distinct, await asyncio.gather(*decoding), strict=True))
        finally:
            for task in decoding:
                task.cancel()

    async def _decode(self, url: str, name: str) -> tuple[Picture, ...]:
        cost = _VIDEO_COST if url.startswith("data:video/") else _PICTURE_COST
        async with self._queue.turn(caller_name.get(), cost):
            try:
                reply = await self._ask(url)
            except ChildFailed as error:
                if error.traceback:
                    logger.warning("decoding %s failed:\n%s", name, error.traceback)
                raise MediaRejected(f"{name} cannot be decoded: it {error}") from error
        if reply.rejected:
            raise MediaRejected(f"{name} {reply.rejected}")
        return reply.pictures

    async def _ask(self, url: str) -> Reply:
        child = self._spare.take()
        try:
            return await asyncio.to_thread(child.ask, url, Reply)
        finally:
            # Also when nobody waits any more, which ends the thread as well.
            child.kill()
            asyncio.get_running_loop().run_in_executor(None, child.close)


def shown(urls: Iterable[str], pictures: Pictures) -> tuple[Picture, ...]:
    """What became of these."""
    return tuple(picture for url in urls for picture in pictures[url])
