"""Responses of either API that are no event stream: recognised, and read within a bound."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec

from app.errors import FailureKind, ProviderError
from app.llm.failures import MALFORMED_JSON, failure_from_response

MAX_BODY_BYTES = 64_000
"""Far above any error object, or any description of a key."""
MAX_BODY_S = 1.0
"""From its headers on. A provider sends both at once, and somebody waits for another model."""


class _ErrorAnswer(msgspec.Struct):
    error: dict[str, Any] | None = None


def is_event_stream(headers: Mapping[str, str]) -> bool:
    """Whether the headers announce server-sent events."""
    content_type = headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


async def require_event_stream(
    status: int, headers: Mapping[str, str], body: AsyncIterator[bytes]
) -> None:
    """Raise the failure that a response other than an event stream means."""
    if status == 200 and is_event_stream(headers):
        if headers.get("content-encoding", "identity") != "identity":
            raise ProviderError(FailureKind.PROTOCOL, "a compressed answer that nobody asked for")
        return
    try:
        error = msgspec.json.decode(await read_bounded(body), type=_ErrorAnswer).error
    except MALFORMED_JSON:
        error = None
    if status < 400 and error is None:
        raise ProviderError(FailureKind.PROTOCOL, f"HTTP {status} that is not an event stream")
    raise failure_from_response(status, headers, error)


async def read_bounded(
    body: AsyncIterator[bytes], cut_off_by: type[Exception] = aiohttp.ClientError
) -> bytes:
    """The first `MAX_BODY_BYTES` of a body, or what of them came within `MAX_BODY_S`.

    Where it hangs or is cut off (the client's own exception for that is `cut_off_by`), status
    and headers still say what happened.
    """
    read = bytearray()
    with suppress(TimeoutError, cut_off_by):
        async with asyncio.timeout(MAX_BODY_S):
            async for chunk in body:
                read += chunk
                if len(read) > MAX_BODY_BYTES:
                    break
    return bytes(read[:MAX_BODY_BYTES])
