"""The process in which files are read; its arguments are seconds and bytes."""

import os
import resource
import sys
import traceback
from contextlib import suppress

import msgspec

from app.errors import DocumentRejected
from app.retrieval.language import load_models
from app.retrieval.preparation import prepare
from app.retrieval.reader import Reply, Request, receive, send


def main() -> None:
    """Answer requests on standard input until it ends."""
    cpu_s, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    with suppress(ValueError):  # macOS knows no such limit
        _bound(resource.RLIMIT_AS, memory_bytes)
    load_models()  # unpacks its model into a file, the only one that is ever written
    _bound(resource.RLIMIT_FSIZE, 0)
    # Whatever a library prints must not stand among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while message := receive(sys.stdin.buffer):
        used = resource.getrusage(resource.RUSAGE_SELF)
        _bound(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + cpu_s)
        reply = _reply(msgspec.msgpack.decode(message, type=Request))
        send(answers, msgspec.msgpack.encode(reply))


def _bound(what: int, limit: int) -> None:
    # The soft limit: it is what the kernel acts on, and can be moved for the next file.
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (limit, hard))


def _reply(request: Request) -> Reply:
    try:
        return Reply(prepared=prepare(request.content, request.name, force=request.force))
    except DocumentRejected as error:
        return Reply(rejected=str(error))
    except MemoryError:
        return Reply(rejected="takes too much memory to be read", out_of_memory=True)
    except RecursionError:
        return Reply(rejected="is nested too deeply")
    except Exception as error:  # hostile bytes make parsers raise anything
        reason = f"is damaged: {type(error).__name__} while reading it"
        return Reply(rejected=reason, traceback=traceback.format_exc())


if __name__ == "__main__":
    main()
