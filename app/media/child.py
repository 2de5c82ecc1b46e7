"""The process in which one request's pictures and videos are decoded."""

import resource
import sys
import traceback

import msgspec

from app.errors import MediaRejected
from app.media.decoder import CPU_LIMIT_S, MEMORY_LIMIT_BYTES, Reply
from app.media.decoding import pictures_of


def main() -> None:
    """Read data URLs from standard input, write the pictures to standard output."""
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_LIMIT_BYTES),
        (resource.RLIMIT_CPU, CPU_LIMIT_S),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    urls = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[str])
    sys.stdout.buffer.write(msgspec.msgpack.encode(_reply(urls)))


def _reply(urls: list[str]) -> Reply:
    pictures = []
    for number, url in enumerate(urls, 1):
        try:
            pictures.append(pictures_of(url))
        except MediaRejected as error:
            return Reply(rejected=f"file {number} of {len(urls)} {error}")
        except MemoryError:
            return Reply(rejected=f"file {number} of {len(urls)} takes too much memory")
        except Exception:  # hostile bytes make decoders raise anything
            reason = f"file {number} of {len(urls)} cannot be decoded"
            return Reply(rejected=reason, traceback=traceback.format_exc())
    return Reply(pictures=pictures)


if __name__ == "__main__":
    main()
