"""Whose a document is: an operator's are all of them, a key's those that were sent with it."""

from starlette.exceptions import HTTPException

from app.access.keys import KeyScope
from app.api.callers import Caller


def own_name(caller: Caller) -> str | None:
    """The name that a caller's documents stand under; None for an operator."""
    return None if caller.may(KeyScope.ADMIN) or caller.key is None else caller.key.name


def origin_of(own: str) -> str:
    """The root of what was sent with the key of that name."""
    return f"key {own}"


def check_sender(
    own: str, access: str, collection: str | None, root: str | None, caller: Caller
) -> None:
    """Raises a 403 for what would put words into another's mouth."""
    if access not in caller.groups:
        raise HTTPException(403, f"this key does not belong to the group {access}")
    if collection not in (None, own):
        raise HTTPException(403, f"what this key sends stands in the collection {own}")
    if root is not None:
        raise HTTPException(403, "only a key with the scope admin may name a root")
