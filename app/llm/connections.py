"""The connections to a model's API, which note on a call's bill that it went out."""

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace

import aiohttp

from app.llm.provider import Bill

MAX_CONNECTIONS = 2000
KEEP_ALIVE_S = 30.0

billed_to: ContextVar[Bill | None] = ContextVar("billed_to", default=None)
"""The bill of the call that this task is about to make: aiohttp traces in the caller's context."""


def pool(ssl_context: ssl.SSLContext) -> Callable[[], aiohttp.ClientSession]:
    """What opens the pool, at the first call, in the running loop."""
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_note_sent)

    def opened() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S, ssl=ssl_context
        )
        return aiohttp.ClientSession(connector=connector, trust_env=True, trace_configs=[tracing])

    return opened


async def _note_sent(
    _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestHeadersSentParams
) -> None:
    if bill := billed_to.get():
        bill.sent = True
