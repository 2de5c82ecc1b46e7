"""The connections to a model's API: kept ones, and what they record in a call's usage."""

import asyncio
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
import structlog
from aiohttp.base_protocol import BaseProtocol
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from app.llm.provider import CallUsage

MAX_CONNECTIONS = 2000
KEEP_ALIVE_S = 30.0
CLOSED_WHILE_IDLE_S = 1.0
"""A round trip to a server that has closed a connection, on a busy machine."""

logger = structlog.get_logger(__name__)

current_usage: ContextVar[CallUsage | None] = ContextVar("current_usage", default=None)
"""The usage of the call that this task makes: aiohttp connects in the caller's task."""

_kept: ContextVar[bool] = ContextVar("kept", default=False)
"""Whether the request goes over a connection that had served before."""


def pool(ssl_context: ssl.SSLContext, url: str) -> Callable[[], aiohttp.ClientSession]:
    """What opens the pool for an API at `url`, at the first call, in the running loop."""

    def opened() -> aiohttp.ClientSession:
        connector = _Connector(
            limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S, ssl=ssl_context
        )
        return aiohttp.ClientSession(
            connector=connector,
            # What is compressed unasked is refused; undone, it could be a bomb.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Not `trust_env`: it reads the environment and a file again for every request.
            proxy=_proxy_for(url),
            middlewares=[_without_its_reason, _sent_again],
        )

    return opened


def no_cookies() -> CookieJar:
    """A jar for httpx that keeps none: one that is no ASCII would break every later call."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class _Connector(aiohttp.TCPConnector):
    """Keeps no connection on which the server has spoken unasked, and notes what goes out.

    aiohttp would take what it said (a 408 before it hangs up, an answer sent twice) for the
    answer to the next question, and be one answer behind from then on. Its tracing would note
    as much, for a fiftieth of a turn.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._have_served: WeakSet[BaseProtocol] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> Connection:
        _kept.set(False)
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None, "a connection has one until it is let go"
            kept = protocol in self._have_served
            if not (kept and protocol.should_close):
                break
            connection.close()
        self._have_served.add(protocol)
        _kept.set(kept)
        if call_usage := current_usage.get():
            call_usage.sent = True
        return connection


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this address."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


async def _without_its_reason(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Drop the reason phrase of a status: httpx-aiohttp 0.2.0 crashes at any that are not UTF-8."""
    response = await handler(request)
    response.reason = None
    return response


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
    if call_usage := current_usage.get():
        call_usage.lost_requests += 1
    return await handler(request)
