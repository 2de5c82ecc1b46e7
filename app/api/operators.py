"""Who may see how the service runs: whoever sits at this machine, while it has no keys."""

from ipaddress import IPv6Address, ip_address

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

_FORWARDED = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "fly-client-ip",
)


def is_operator(request: Request) -> bool:
    """Whether the caller sits at this machine.

    A proxy on this machine speaks for others. So may a browser here, for a page that had its
    own host's name lead to this address: the request then bears that name.
    """
    here = request.client is not None and _is_loopback(request.client.host)
    named = _is_loopback(request.url.hostname or "")
    return here and named and not any(name in request.headers for name in _FORWARDED)


def _only_from_this_machine(request: Request) -> None:
    """Raises a 403 for everybody else."""
    if not is_operator(request):
        raise HTTPException(403, "open the console on the machine that the service runs on")


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


OperatorsOnly = Depends(_only_from_this_machine)
