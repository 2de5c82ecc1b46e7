"""What an IP address is: of this machine, of a private network, of everybody's, or listed."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Networks = tuple[IPv4Network | IPv6Network, ...]

_PRIVATE: Final[Networks] = tuple(
    ip_network(network)
    for network in (
        *("127.0.0.0/8", "::1/128"),
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        "fc00::/7",  # RFC 4193; Fly.io's private network is fdaa::/16
    )
)
"""Named one by one: `is_private` of the standard library counts far more as private."""
_IPV6_OF_ALL: Final = ip_network("2000::/3")
"""All that was ever given out; NAT64's networks, of which one may lead inside, are none of it."""
_TRANSLATED: Final[Networks] = tuple(map(ip_network, ("2001::/32", "2002::/16")))
"""Teredo, 6to4: they contain an IPv4 address, perhaps a private one."""
_OF_ONE_CLIENT: Final = 64
"""The bits of an IPv6 address that tell clients apart: one of them has all addresses below."""


@lru_cache(maxsize=1024)
def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """The address, of IPv4 where IPv6 only wraps it; None for what is no address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def is_loopback(host: str) -> bool:
    """Return whether an address or a name leads to this machine alone."""
    parsed = _parsed(host)
    return parsed.is_loopback if parsed else host.lower() == "localhost"


def is_private(address: str) -> bool:
    """Return whether an IP address is of this machine or of a private network."""
    return is_in(address, _PRIVATE)


def is_public(address: str) -> bool:
    """Return whether an IP address is one that everybody reaches."""
    parsed = _parsed(address)
    if parsed is None:
        return False
    if isinstance(parsed, IPv6Address) and (
        parsed not in _IPV6_OF_ALL or any(parsed in network for network in _TRANSLATED)
    ):
        return False
    return parsed.is_global and not parsed.is_multicast


def is_in(address: str, networks: Networks) -> bool:
    """Return whether an IP address is in one of the networks; False for what is no address."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def client_network(address: str) -> str | None:
    """Return the address, of IPv6 the /64 that is one client's; None for what is no address."""
    parsed = _parsed(address.strip())
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), _OF_ONE_CLIENT), strict=False))
    return str(parsed) if parsed else None


def local_url(host: str, port: int) -> str:
    """Return where a service that listens on `host` is reached from this machine."""
    parsed = _parsed(host)
    if parsed and parsed.is_unspecified:
        host = "127.0.0.1" if isinstance(parsed, IPv4Address) else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
