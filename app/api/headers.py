"""The headers of every answer, and to which pages of others a browser may show it.

Six lines of our own rather than a package of presets: none of those leaves alone what a page
says for itself.
"""

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVERYWHERE: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Heeded over HTTPS alone.
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}
# As they go out: names in lower case, as ASGI has them.
_EVERYWHERE: Final = [(name.lower().encode(), said.encode()) for name, said in EVERYWHERE.items()]
_METHODS: Final = ("GET", "POST", "DELETE")
_ASKED: Final = ("Authorization", "Content-Type", "X-Request-ID")
_TOLD: Final = ("X-Request-ID", "Retry-After", "Location", "WWW-Authenticate")


class SecurityHeadersMiddleware:
    """Adds the headers that an answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers added to what is sent."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                names = {name for name, _ in own}
                message["headers"] = [*own, *(h for h in _EVERYWHERE if h[0] not in names)]
            await send(message)

        await self._app(scope, receive, with_headers)


class CorsMiddleware:
    """Starlette's, for the origins of the settings to the letter; others meet none of it.

    Without credentials: a key travels in a header that a page has to set, and no cookie is used.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._for_ours = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_ASKED,
            expose_headers=_TOLD,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, through Starlette's middleware where the origin is one of ours."""
        is_ours = scope["type"] == "http" and Headers(scope=scope).get("origin") in self._origins
        await (self._for_ours if is_ours else self._app)(scope, receive, send)
