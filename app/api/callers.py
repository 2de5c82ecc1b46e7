"""Who calls, and what they may do: whoever has a key; without any, whoever sits at this machine."""

from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.access.keyring import OWN_KEY_NAME, Keyring
from app.access.keys import EVERY_SCOPE, Key, KeyScope
from app.net import host_names_this_machine, is_forwarding, is_loopback
from app.retrieval.records import PUBLIC

CHALLENGE = {"WWW-Authenticate": "Bearer"}
KEY_NEEDED = "send a key that this service knows: Authorization: Bearer …"
NO_KEYS_YET = (
    "this service has no keys yet and answers only the machine that it runs on, and there no page "
    "of an origin that CORS_ORIGINS does not list; make a key: zantara keys create NAME"
)
_OWN_PAGE = frozenset({b"same-origin", b"none"})
"""What a browser says in Sec-Fetch-Site of our own page, and of what its user typed."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `key` is None for who was let in without one."""

    key: Key | None
    scopes: frozenset[KeyScope]

    def may(self, scope: KeyScope) -> bool:
        """Whether what needs that scope is open; `admin` opens everything."""
        return scope in self.scopes or KeyScope.ADMIN in self.scopes

    @property
    def is_at_machine(self) -> bool:
        """Whether it is the machine's own user, who may do everything and needs no key."""
        return self.key is None and KeyScope.ADMIN in self.scopes

    @property
    def groups(self) -> frozenset[str]:
        """The access groups whose documents are read."""
        return frozenset({PUBLIC}) | (self.key.groups if self.key else frozenset())


def identified(scope: Scope, keyring: Keyring, *, allow_no_keys: bool) -> Caller | None:
    """The caller, or None for one who may not come in.

    While there are no keys at all, what a client sends for one makes no difference.
    """
    # Of what came twice the first counts, as with Starlette's `Headers.get`.
    head = dict(reversed(scope["headers"]))
    key = keyring.find(_bearer(head))
    if key is not None and key.name != OWN_KEY_NAME:
        return Caller(key, key.scopes)
    if key or (keyring.empty and is_at_machine(scope)):
        return Caller(None, EVERY_SCOPE)
    if keyring.empty and allow_no_keys:
        return Caller(None, frozenset({KeyScope.CHAT}))
    return None


def is_at_machine(scope: Scope) -> bool:
    """Whether the caller sits at this machine.

    A proxy on this machine speaks for others. So may a browser here: for a page that had its own
    host's name lead to this address, when the request bears that name; for one that sends a form
    or shows an image of this address, when it bears that page's origin, or says that it is
    another site's. Of what is sent twice neither counts.
    """
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return False
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if any(is_forwarding(name) for name, _ in headers):
        return False
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    # Without one the request is for the address it came to.
    if len(hosts) > 1 or not all(map(host_names_this_machine, hosts)):
        return False
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    sites = [value for name, value in headers if name == b"sec-fetch-site"]
    if origins:
        return len(origins) == 1 and not _is_strange(origins[0], scope)
    return _OWN_PAGE.issuperset(sites)


def _is_strange(origin: str, scope: Scope) -> bool:
    """Whether it is of a page that is neither ours nor one that is listed."""
    own = HTTPConnection(scope).url
    return origin != f"{own.scheme}://{own.netloc}" and origin not in scope["state"]["cors_origins"]


class Needs:
    """A dependency: raises a 403 for a key without the scope, a 401 where there is no key."""

    def __init__(self, scope: KeyScope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        """Let the caller pass, or raise."""
        caller: Caller = request.state.caller
        if caller.may(self.scope):
            return
        if caller.key is None:
            raise HTTPException(401, KEY_NEEDED, CHALLENGE)
        raise HTTPException(403, f"this key does not open this: it lacks the scope {self.scope}")


def needs(scope: KeyScope) -> Any:
    """What opens a route."""
    return Depends(Needs(scope))


def _bearer(head: dict[bytes, bytes]) -> str:
    scheme, _, key = head.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
