"""How the failures of both APIs become one kind each.

The order of trust: the error type that the provider names, then its code, then
the HTTP status. Facts: OpenRouter's and Anthropic's error pages, November 2026.
"""

import errno
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec

from app.errors import FailureKind, ProviderError

MALFORMED_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON from outside: the last for what is nested too deep."""

MAX_RETRY_AFTER_S = 3600.0
"""A provider that asks for more than an hour is asked again after an hour."""

_BY_STATUS = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.PAYMENT,
    403: FailureKind.PERMISSION,
    404: FailureKind.NOT_FOUND,
    405: FailureKind.NOT_FOUND,  # the address is not that of the API
    408: FailureKind.SERVER,
    409: FailureKind.SERVER,
    410: FailureKind.NOT_FOUND,
    412: FailureKind.BAD_REQUEST,
    413: FailureKind.CONTEXT_LENGTH,
    422: FailureKind.BAD_REQUEST,
    429: FailureKind.RATE_LIMIT,
    431: FailureKind.BAD_REQUEST,
    451: FailureKind.PERMISSION,  # not served where we are
    499: FailureKind.SERVER,  # it took us for gone
    503: FailureKind.OVERLOADED,
    529: FailureKind.OVERLOADED,
}

_BY_TYPE = {
    # OpenRouter, `error.metadata.error_type`
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "content_policy_violation": FailureKind.CONTENT_FILTER,
    "refusal": FailureKind.CONTENT_FILTER,
    "authentication": FailureKind.AUTHENTICATION,
    "payment_required": FailureKind.PAYMENT,
    "permission_denied": FailureKind.PERMISSION,
    "not_found": FailureKind.NOT_FOUND,
    "payload_too_large": FailureKind.CONTEXT_LENGTH,
    "rate_limit_exceeded": FailureKind.RATE_LIMIT,
    "provider_unavailable": FailureKind.OVERLOADED,
    "provider_overloaded": FailureKind.OVERLOADED,
    "timeout": FailureKind.SERVER,
    "server": FailureKind.SERVER,
    # Anthropic, `error.type`
    "authentication_error": FailureKind.AUTHENTICATION,
    "billing_error": FailureKind.PAYMENT,
    "permission_error": FailureKind.PERMISSION,
    "not_found_error": FailureKind.NOT_FOUND,
    "request_too_large": FailureKind.CONTEXT_LENGTH,
    "rate_limit_error": FailureKind.RATE_LIMIT,
    "overloaded_error": FailureKind.OVERLOADED,
    "timeout_error": FailureKind.SERVER,
    "api_error": FailureKind.SERVER,
    "invalid_request_error": FailureKind.BAD_REQUEST,
}


def retry_after_seconds(value: str | None) -> float | None:
    """Read a `Retry-After` header: seconds from now, 0 to `MAX_RETRY_AFTER_S`.

    None for a header that is missing or says nothing (rubbish, NaN).
    """
    if value is None:
        return None
    try:
        # Of two headers, which are joined by a comma, the longer wait is safe.
        seconds = max(map(float, value.split(",")))
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def failure_from_response(
    status: int, headers: Mapping[str, str], error: Mapping[str, Any] | None
) -> ProviderError:
    """Classify an HTTP answer that is an error, or an error object inside a stream.

    `error` is the parsed `error` object; its own code wins over a 200 status.
    """
    error = error or {}
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    named = metadata.get("error_type") or error.get("type")
    code = _as_status(error.get("code"))
    effective = code if code is not None and status < 400 else status
    kind = _BY_TYPE.get(_text(named)) or kind_of_status(effective)
    retry_after_s = retry_after_seconds(headers.get("retry-after"))
    if retry_after_s is None and kind in (FailureKind.RATE_LIMIT, FailureKind.PERMISSION):
        retry_after_s = _resets_in_s(headers, metadata)
    if kind is FailureKind.PERMISSION and "reasons" in metadata:
        kind = FailureKind.CONTENT_FILTER  # OpenRouter's moderation is a 403 that lists reasons
    if kind is FailureKind.NOT_FOUND and _speaks_of_support(error.get("message")):
        kind = FailureKind.BAD_REQUEST  # the model is there, but takes no such request
    if kind is FailureKind.BAD_REQUEST and _speaks_of_context(error.get("message")):
        kind = FailureKind.CONTEXT_LENGTH
    if kind is FailureKind.BAD_REQUEST and _speaks_of_credit(error.get("message")):
        kind = FailureKind.PAYMENT
    # The provider's own words stay out: they may echo the key or the prompt.
    detail = f"HTTP {effective}"
    if kind is FailureKind.CONTEXT_LENGTH:
        detail = _excess(error.get("message")) or detail
    return ProviderError(kind, detail, status=effective, retry_after_s=retry_after_s)


def kind_of_status(status: int) -> FailureKind:
    """The kind of an HTTP status that came without a named error type."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return FailureKind.SERVER
    return FailureKind.BAD_REQUEST if status >= 400 else FailureKind.PROTOCOL


def _as_status(code: object) -> int | None:
    if isinstance(code, str) and re.fullmatch(r"[0-9]{3}", code):
        code = int(code)
    return code if isinstance(code, int) and 100 <= code <= 599 else None


def _text(given: object) -> str:
    """A field that ought to be text; of anything else, however deep, nothing."""
    return given if isinstance(given, str) else ""


def _speaks_of_context(message: object) -> bool:
    text = _text(message).lower()
    return "context length" in text or "context window" in text or "prompt is too long" in text


def _speaks_of_support(message: object) -> bool:
    """As in OpenRouter's 404 "No endpoints found that support image input"."""
    return "that support" in _text(message).lower()


def _speaks_of_credit(message: object) -> bool:
    text = _text(message).lower()
    return "credit balance" in text or "usage limits" in text or "spend limit" in text


def _excess(message: object) -> str | None:
    """By how much a conversation is too long: both APIs name its length and the window."""
    numbers = [int(digits) for digits in re.findall(r"\b\d{4,9}\b", _text(message))[:2]]
    if len(numbers) < 2:
        return None
    return (
        f"the conversation is about {max(numbers) - min(numbers)} tokens over the model's window, "
        f"{min(numbers)} tokens"
    )


def _resets_in_s(headers: Mapping[str, str], metadata: Mapping[str, Any]) -> float | None:
    """Seconds until a limit of OpenRouter's ends, given in milliseconds since 1970.

    In a header or, where the limit is of the provider behind it, in the error.
    """
    nested = metadata.get("headers")
    given = headers.get("x-ratelimit-reset")
    if given is None and isinstance(nested, Mapping):
        given = nested.get("X-RateLimit-Reset")
    if not isinstance(given, str | int | float):
        return None
    try:
        seconds = float(given) / 1000 - time.time()
    except (ValueError, OverflowError):
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else None


def failure_from_transport(error: BaseException) -> ProviderError:
    """Classify what aiohttp, httpx2 or the SDK raised when the connection failed.

    The SDK runs on aiohttp too, whose own exception, further down the chain, is
    the one to trust: httpx-aiohttp 0.2.0 turns a dropped connection into a
    `ConnectTimeout`.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, aiohttp.ClientError):
        cause = cause.__cause__
    if isinstance(cause, aiohttp.ClientSSLError):
        return ProviderError(FailureKind.CERTIFICATE, "the certificate was not accepted")
    if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
        return ProviderError(FailureKind.NO_DESCRIPTORS, "this process has too many open files")
    if isinstance(cause, aiohttp.ServerTimeoutError):
        return ProviderError(FailureKind.TIMEOUT_CONNECT, "no connection within the limit")
    if isinstance(cause, aiohttp.ClientPayloadError):
        return ProviderError(FailureKind.PROTOCOL, "the answer was cut off")
    if isinstance(cause, aiohttp.ClientResponseError):
        return ProviderError(FailureKind.PROTOCOL, "an answer that is no HTTP")
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return ProviderError(FailureKind.CONNECTION, "the server's name was not found")
    if isinstance(cause, aiohttp.ClientConnectorError):
        return ProviderError(FailureKind.CONNECTION, "the server took no connection")
    return ProviderError(FailureKind.CONNECTION, "the connection was lost")
