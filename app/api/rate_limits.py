"""Answers 429 to what is over a caller's limit, before it takes a place: requests and tokens a
minute, and requests at once.
"""

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.rates import OverLimit, Rates
from app.access.under_way import UnderWay
from app.api.callers import Caller
from app.api.errors import refusal
from app.limits import caller_name
from app.llm.budget import payer
from app.net import Networks, client_network, is_in


class RateLimitMiddleware:
    """Counts what callers ask and use; who sits at this machine has no limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limits, and count what it has used when it has ended."""
        caller: Caller | None = scope["state"].get("caller") if scope["type"] == "http" else None
        if caller is None:
            await self._app(scope, receive, send)
            return
        address = client_address(HTTPConnection(scope), scope["state"]["trusted_proxies"])
        caller_name.set(f"key {caller.key.name}" if caller.key else f"address {address}")
        if caller.is_at_machine:
            await self._app(scope, receive, send)
            return
        rates: Rates = scope["state"]["rates"]
        under_way: UnderWay = scope["state"]["under_way"]
        if (paying := payer.get()) and paying.name is None:
            paying.address = address
        over = await rates.admit(caller.key, address) or under_way.begin(caller.key, address)
        if over:
            await _refused(scope["path"], over)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            under_way.end(caller.key, address)
            paying = payer.get()
            if paying and paying.tokens:
                await rates.used(caller.key, address, paying.tokens)


def _refused(path: str, over: OverLimit) -> Response:
    wait = over.retry_after_s
    detail = f"over the limit of {over.limit}; try again in {wait} s"
    return refusal(path, 429, detail, {"Retry-After": str(wait), "Connection": "close"})


def client_address(request: HTTPConnection, trusted: Networks) -> str:
    """Where a request comes from: the peer, or what a trusted proxy says in `Fly-Client-IP`.

    Anybody can send that header, and `X-Forwarded-For`: from any other peer neither counts.
    """
    peer = request.client.host if request.client else ""
    told = request.headers.getlist("fly-client-ip")
    if told and is_in(peer, trusted):
        return client_network(told[-1]) or client_network(peer) or peer
    return client_network(peer) or peer
