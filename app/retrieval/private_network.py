"""Which addresses are of this machine or of a private network."""

from ipaddress import IPv6Address, ip_address, ip_network

_PRIVATE = tuple(
    ip_network(network)
    for network in (
        *("127.0.0.0/8", "::1/128"),
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        "fc00::/7",  # RFC 4193; Fly.io's private network is fdaa::/16
    )
)
"""Named one by one: `is_private` of the standard library counts far more as private."""


def is_private(address: str) -> bool:
    """Whether an IP address is of this machine or of a private network."""
    parsed = ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return any((mapped or parsed) in network for network in _PRIVATE)
