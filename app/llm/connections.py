"""The connections to a model's API: kept ones, and what of a call is noted on its bill."""

import asyncio
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import structlog

from app.llm.provider import Bill

MAX_CONNECTIONS = 2000
KEEP_ALIVE_S = 30.0
CLOSED_WHILE_IDLE_S = 1.0
"""A round trip to a server that has closed a connection, on a busy machine."""

logger = structlog.get_logger(__name__)

billed_to: ContextVar[Bill | None] = ContextVar("billed_to", default=None)
"""The bill of the call that this task is about to make: aiohttp traces in the caller's context."""


_kept: ContextVar[bool] = ContextVar("kept", default=False)
"""Whether the request goes over a connection that had served before."""


def pool(ssl_context: ssl.SSLContext, url: str) -> Callable[[], aiohttp.ClientSession]:
    """What opens the pool for an API at `url`, at the first call, in the running loop."""
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_note_sent)
    tracing.on_connection_reuseconn.append(_note_kept)
    tracing.on_connection_create_start.append(_note_new)

    def opened() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S, ssl=ssl_context
        )
        return aiohttp.ClientSession(
            connector=connector,
            # Not `trust_env`: it reads the environment and a file anew for every request.
            proxy=_proxy_for(url),
            trace_configs=[tracing],
            middlewares=[_sent_again],
        )

    return opened


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this address."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


async def _note_sent(
    _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestHeadersSentParams
) -> None:
    if bill := billed_to.get():
        bill.sent = True


async def _note_kept(
    _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceConnectionReuseconnParams
) -> None:
    _kept.set(True)


async def _note_new(
    _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceConnectionCreateStartParams
) -> None:
    _kept.set(False)


async def _sent_again(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once more that a kept connection lost at once.

    A server closes idle connections when it likes; that is no fault of the model's, and
    aiohttp itself sends again what is not a POST. A server that had the request for longer
    may have read it.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        return await handler(request)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        if not _kept.get() or clock() - began > CLOSED_WHILE_IDLE_S:
            raise
    logger.info("a kept connection was closed: the request is sent once more")
    if bill := billed_to.get():
        bill.lost_requests += 1
    return await handler(request)
