import errno
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import anthropic
import pytest
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FailureKind
from app.llm.failures import (
    _BY_STATUS,
    MAX_RETRY_AFTER_S,
    failure_from_response,
    failure_from_transport,
    retry_after_seconds,
)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("90, 30", 90.0),
        ("30,90", 90.0),
        ("30, soon", None),
        ("1000000000", MAX_RETRY_AFTER_S),
        ("soon", None),
        ("nan", None),
        ("inf", MAX_RETRY_AFTER_S),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (None, None),
    ],
)
def test_retry_after_is_parsed_and_clamped(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)

    seconds = retry_after_seconds(later)

    assert seconds is not None
    assert 50 < seconds <= 60


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "bad"}, FailureKind.BAD_REQUEST),
        (400, {"message": "maximum context length is 131072"}, FailureKind.CONTEXT_LENGTH),
        (
            400,
            {"type": "invalid_request_error", "message": "Your credit balance is too low"},
            FailureKind.PAYMENT,
        ),
        (401, {}, FailureKind.AUTHENTICATION),
        (402, {}, FailureKind.PAYMENT),
        (403, {}, FailureKind.PERMISSION),
        (403, {"metadata": {"reasons": ["violence"]}}, FailureKind.CONTENT_FILTER),
        (404, {}, FailureKind.NOT_FOUND),
        (408, {}, FailureKind.SERVER),
        (409, {}, FailureKind.SERVER),
        (413, {}, FailureKind.CONTEXT_LENGTH),
        (422, {}, FailureKind.BAD_REQUEST),
        (429, None, FailureKind.RATE_LIMIT),
        (500, None, FailureKind.SERVER),
        (524, None, FailureKind.SERVER),
        (503, None, FailureKind.OVERLOADED),
        (529, {"type": "overloaded_error"}, FailureKind.OVERLOADED),
        (200, {"code": 429}, FailureKind.RATE_LIMIT),
        (200, {"code": "402"}, FailureKind.PAYMENT),
        (200, {"type": "overloaded_error"}, FailureKind.OVERLOADED),
        (200, {"code": 10**30}, FailureKind.PROTOCOL),
        (200, {"code": "9" * 5000}, FailureKind.PROTOCOL),
        (500, {"code": 401}, FailureKind.SERVER),
        (405, {}, FailureKind.NOT_FOUND),
        (451, {}, FailureKind.PERMISSION),
        (500, {"metadata": {"error_type": "provider_overloaded"}}, FailureKind.OVERLOADED),
    ],
)
def test_every_answer_has_one_kind(
    status: int, error: dict[str, object] | None, kind: FailureKind
) -> None:
    assert failure_from_response(status, {}, error).kind is kind


def test_no_status_and_no_exception_of_either_client_is_unmapped() -> None:
    for status in range(300, 600):
        assert failure_from_response(status, {}, None).kind in FailureKind
    for cls in _subclasses(anthropic.APIStatusError):
        status = getattr(cls, "status_code", 500)
        assert status in _BY_STATUS or status >= 500, f"{cls.__name__} ({status}) has no kind"
    for cls in _subclasses(aiohttp.ClientError):
        assert failure_from_transport(_unmade(cls)).kind in {
            FailureKind.CONNECTION,
            FailureKind.PROTOCOL,
            FailureKind.CERTIFICATE,
            FailureKind.TIMEOUT_CONNECT,
        }


def test_the_sdk_raises_nothing_of_an_api_that_has_no_kind() -> None:
    mapped = (anthropic.APIStatusError, anthropic.APIConnectionError)
    others = {
        cls.__name__ for cls in _subclasses(anthropic.APIError) if not issubclass(cls, mapped)
    }

    # Of the base class itself, of bodies that the SDK parses, and of webhooks: none is used here.
    assert others == {"APIError", "APIResponseValidationError", "APIWebhookValidationError"}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_that_we_may_open_nothing_more_is_no_fault_of_the_providers(number: int) -> None:
    key = ConnectionKey("x", 443, True, True, None, None, None)
    refused = aiohttp.ClientConnectorDNSError(key, OSError(number, "Too many open files"))

    assert failure_from_transport(refused).kind is FailureKind.NO_DESCRIPTORS


def test_a_lost_connection_is_told_in_words() -> None:
    lost = [
        aiohttp.ClientPayloadError,
        aiohttp.ServerDisconnectedError,
        aiohttp.ClientConnectorError,
    ]

    told = {failure_from_transport(_unmade(cls)).detail for cls in lost}

    assert told == {
        "the answer was cut off",
        "the connection was lost",
        "the server took no connection",
    }


def test_the_providers_words_do_not_travel() -> None:
    error = failure_from_response(400, {}, {"message": "key sk-or-v1-secret is bad"})

    assert "secret" not in str(error)


def _unmade(cls: type[BaseException]) -> BaseException:
    """An instance without its constructor's arguments, of which only the type matters."""
    return cls.__new__(cls)


@pytest.mark.parametrize(
    ("message", "excess"),
    [
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested "
            "about 150000 tokens (147952 of text input, 2048 in the output).",
            "about 18928 tokens over the model's window, 131072 tokens",
        ),
        (
            "prompt is too long: 208310 tokens > 200000 maximum",
            "about 8310 tokens over the model's window, 200000 tokens",
        ),
        ("maximum context length exceeded", "HTTP 400"),
        (None, "HTTP 400"),
    ],
)
def test_what_is_too_long_says_by_how_much(message: str | None, excess: str) -> None:
    error = {"message": message, "metadata": {"error_type": "context_length_exceeded"}}

    failure = failure_from_response(400, {}, error)

    assert failure.kind is FailureKind.CONTEXT_LENGTH
    assert excess in failure.detail


def test_the_end_of_a_limit_may_stand_in_the_error_or_in_a_header_of_openrouters() -> None:
    in_a_minute = str(round((time.time() + 60) * 1000))
    nested = {"metadata": {"headers": {"X-RateLimit-Reset": in_a_minute}}}
    for status, headers, error in (
        (429, {}, nested),
        (403, {"x-ratelimit-reset": in_a_minute}, {}),
        (200, {}, {**nested, "code": 429}),
    ):
        wait = failure_from_response(status, headers, error).retry_after_s
        assert wait is not None
        assert 50 < wait < 61

    for rubbish in ("", "soon", "-1", "0", "nan", "1e400"):
        wait = failure_from_response(429, {"x-ratelimit-reset": rubbish}, {}).retry_after_s
        assert wait in (None, MAX_RETRY_AFTER_S)


@given(st.text(max_size=60) | st.floats().map(str) | st.integers().map(str))
def test_no_retry_after_is_a_crash(header: str) -> None:
    seconds = retry_after_seconds(header)

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


def _subclasses(cls: type[Exception]) -> set[type[Exception]]:
    below: set[type[Exception]] = {cls}
    return below.union(*(_subclasses(sub) for sub in cls.__subclasses__()))
