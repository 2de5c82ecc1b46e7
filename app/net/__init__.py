"""Addresses: which are this machine's, private, public or trusted. The one place that says so."""

from app.net.addresses import (
    Networks,
    client_network,
    is_in,
    is_loopback,
    is_private,
    is_public,
    local_url,
)
from app.net.headers import host_names_this_machine, is_forwarding

__all__ = [
    "Networks",
    "client_network",
    "host_names_this_machine",
    "is_forwarding",
    "is_in",
    "is_loopback",
    "is_private",
    "is_public",
    "local_url",
]
