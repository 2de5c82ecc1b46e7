"""What request headers say of addresses, of which anybody can write any."""

import re
from functools import lru_cache
from typing import Final

from app.net.addresses import is_loopback

_FORWARDING: Final = re.compile(
    rb"forwarded|via|x[-_]?(forwarded|original|originating|remote|real|host|envoy)([-_].*)?|"
    rb".*(client|connecting|user)[-_]?(ip|addr|address)"
)
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)


@lru_cache(maxsize=256)
def is_forwarding(name: bytes) -> bool:
    """Return whether a proxy says, in a header of this lower-case name, whom it speaks for."""
    return _FORWARDING.fullmatch(name) is not None


@lru_cache(maxsize=64)
def host_names_this_machine(host: str) -> bool:
    """Return whether a Host header is `localhost` or a loopback address, with or without a port.

    The whole header is held against the form: readers of addresses disagree about user names,
    paths and what else may be put into it.
    """
    found = _HOST.fullmatch(host)
    return found is not None and is_loopback(found[1].strip("[]"))
