"""The door: nothing but what is named here is answered without a key.

A middleware and not a dependency of each route, so that what nobody thought of, a path
that no route takes too, is closed; what a key opens beyond, each route says (`needs`).
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.keyring import Keyring
from app.api.callers import CHALLENGE, KEY_NEEDED, NO_KEYS_YET, identified
from app.api.errors import refusal
from app.llm.budget import Payer, payer

OPEN = frozenset({"/", "/health", "/ready", "/console"})
"""The pages hold no data: what they show they ask for with a key."""
OPEN_BELOW = "/static/"
# A body that was not read would be waited for on a kept connection.
_REFUSED = {**CHALLENGE, "Connection": "close"}


class AuthenticationMiddleware:
    """Puts the `Caller` into the request's state, or answers 401 before any of the body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open and what has a key."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        keyring: Keyring = scope["state"]["keyring"]
        allow_no_keys: bool = scope["state"]["allow_no_keys"]
        caller = identified(scope, keyring, allow_no_keys=allow_no_keys)
        scope["state"]["caller"] = caller
        key = caller.key if caller else None
        payer.set(Payer(key.name, key.daily_usd) if key else Payer(None, None))
        if caller is None and not _is_open(scope["path"]):
            detail = NO_KEYS_YET if keyring.empty else KEY_NEEDED
            await refusal(scope["path"], 401, detail, _REFUSED)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)
