"""Files at addresses: from the hosts that the operator lists alone, and from no private network."""

import asyncio
import base64
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from app.errors import MediaRejected
from app.net import is_public

TIME_LIMIT_S: Final = 10.0
"""For all addresses of a request."""
MAX_BYTES: Final = 5_000_000
KINDS: Final = (
    *("image/png", "image/jpeg", "image/gif", "image/webp"),
    *("video/mp4", "video/webm", "video/quicktime", "video/x-matroska"),
)
HTTPS_PORT: Final = 443


class PublicResolver(aiohttp.ThreadedResolver):
    """What a name leads to; an error where that is an address of no public network.

    What was looked at is what is connected to: the name is not asked for a second time.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises `OSError`."""
        found = await super().resolve(host, port, family)
        if not all(is_public(entry["host"]) for entry in found):
            raise OSError("leads to a network that is not public")
        return found


async def in_data_urls(files: Sequence[str], hosts: Collection[str]) -> Mapping[str, str]:
    """Each file as a data URL: those at https addresses are fetched, from `hosts` only.

    `hosts` are names, with a port where it is not 443. No redirect is followed. Raises
    `MediaRejected`, which says which one, and why.
    """
    found: dict[str, str] = {}
    connector = aiohttp.TCPConnector(resolver=PublicResolver(), use_dns_cache=False)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
    ) as session:
        for number, file in enumerate(files, 1):
            try:
                async with asyncio.timeout(TIME_LIMIT_S):
                    found[file] = (
                        file if file.startswith("data:") else await _fetch(session, file, hosts)
                    )
            except (MediaRejected, aiohttp.ClientError, OSError) as error:
                reason = str(error) if isinstance(error, MediaRejected) else "cannot be fetched"
                raise MediaRejected(f"file {number} of {len(files)} {reason}") from error
    return found


async def _fetch(session: aiohttp.ClientSession, address: str, hosts: Collection[str]) -> str:
    url = URL(address)
    host = url.host or ""
    if url.port != HTTPS_PORT:
        host = f"{host}:{url.port}"
    if host not in hosts or url.user is not None:
        raise MediaRejected(
            "is at a host that FILE_HOSTS does not list; send the file itself, as a data URL"
        )
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise MediaRejected(f"cannot be fetched: {host} answered HTTP {response.status}")
        if response.content_type not in KINDS:
            raise MediaRejected(f"is of no known kind; expected one of {', '.join(KINDS)}")
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > MAX_BYTES:
                raise MediaRejected(f"is larger than {MAX_BYTES:,} bytes")
    return f"data:{response.content_type};base64,{base64.b64encode(content).decode()}"
