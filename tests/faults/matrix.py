"""The fault matrix: what can go wrong at a model's API, and what must happen then.

`test_matrix.py` plays every row against the running service, streamed and not,
on either model; `docs/failure-modes.md` is written from it (`scripts/failure_modes.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import Any

from app.errors import FailureKind
from tests.faults import breakages as b
from tests.faults.breakages import REST, SAID
from tests.upstream import llama_chunk, llama_usage

FIRST_CONTENT_S = 0.8
IDLE_S = 0.6
CONNECT_S = 0.6
TOTAL_S = 2.4
"""The limits that are to pass: long enough for the other model to answer on a busy machine."""
PATIENT_S = 25.0
"""A limit that is not to pass. Less than the 30 s that some rows ask Haiku's caller to wait."""
LIMITS = {
    "connect_timeout_s": PATIENT_S,
    "first_content_timeout_s": PATIENT_S,
    "idle_timeout_s": PATIENT_S,
    # Of which a third is kept for Haiku.
    "total_timeout_s": 1.5 * PATIENT_S,
}

K = FailureKind
ASKED_AGAIN = {K.OVERLOADED, K.SERVER, K.RATE_LIMIT, K.CONNECTION, K.PROTOCOL, K.EMPTY}
"""Kinds after which the last model is asked once more."""
LOUD = {K.BAD_REQUEST, K.NOT_FOUND, K.CERTIFICATE}
"""Kinds that somebody must mend: logged as errors."""


class Models(StrEnum):
    """Whose fault it can be."""

    BOTH = "both"
    LLAMA = "llama"
    HAIKU = "haiku"


@dataclass(frozen=True)
class Fault:
    """One way to fail, or to be odd: without a `kind` the answer is delivered all the same.

    `after_content` when words had been sent before it. `until_s` is the limit that
    ends it. `breakage` is None for what `network` breaks before a call is made.
    `shows` is what a delivered answer's fields must hold.
    """

    row: int
    name: str
    title: str
    breakage: b.Breakage | None
    kind: FailureKind | None = None
    after_content: bool = False
    until_s: float = 0.0
    of: Models = Models.BOTH
    network: str | None = None
    waits: bool = False
    """Whether it asks for a longer wait than a caller accepts."""
    says: str = SAID + REST
    shows: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked_again(self) -> bool:
        """Whether the last model is asked once more after it, where nothing was said."""
        return self.kind in ASKED_AGAIN and not self.waits

    @property
    def refused(self) -> bool:
        """Whether the caller is told instead of another model."""
        return self.kind is K.CONTENT_FILTER

    @property
    def limit(self) -> str:
        """The limit that ends it, for a reader."""
        if self.kind is None or not self.kind.is_timeout:
            return ""
        return self.kind.removeprefix("timeout_").replace("_", " ")

    @property
    def limits(self) -> dict[str, float]:
        """The settings to play it with: only the limit that ends it is to pass."""
        if not self.limit:
            return LIMITS
        return {**LIMITS, f"{self.limit.replace(' ', '_')}_timeout_s": self.until_s}


def _status(row: int, code: int, kind: FailureKind, title: str = "", **headers: str) -> Fault:
    name = "-".join([str(code), *headers.values()]).replace(" ", "")
    said = ", ".join(f"{key.replace('_', '-')}: {value}" for key, value in headers.items())
    title = title or f"HTTP {code}"
    title = f"{title}, `{said}`" if said else title
    waits = "Retry_After" in headers
    return Fault(row, name, title, b.answers(code, **headers), kind, waits=waits)


def _after(code: str) -> str:
    return f"after-{code}"


def _in_stream(
    row: int, name: str, title: str, what: Sequence[b.Part], kind: FailureKind
) -> list[Fault]:
    """The same before and after the first content."""
    return [
        Fault(row, name, f"{title}, before content", b.sends(b.opening, *what), kind),
        Fault(row, _after(name), f"{title}, after content", b.sends(b.said, *what), kind, True),
    ]


_LATER = format_datetime(datetime.now(UTC) + timedelta(days=400), usegmt=True)
_EARLIER = "Wed, 21 Oct 2015 07:28:00 GMT"
_BAD_UTF8 = b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n'
_DEEP = "[" * 5_000 + "]" * 5_000
_HTML = "<html><body>Bad gateway</body></html>"
_TOO_LONG = "This endpoint's maximum context length is 131072 tokens. However, you asked for 140000"
_MODERATED = {
    "error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}},
}
_SPENT = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "You have reached your usage limits."},
}


def _tool_call(api: b.Api) -> bytes:
    if api is b.HAIKU_API:
        block = {"type": "tool_use", "id": "t", "name": "rm", "input": {}}
        return api.encode({"type": "content_block_start", "index": 1, "content_block": block})
    call = {"index": 0, "id": "t", "function": {"name": "rm", "arguments": "{}"}}
    return api.encode({"choices": [{"delta": {"tool_calls": [call]}}]})


def _finish(reason_of_llama: str, reason_of_haiku: str) -> b.Part:
    def events(api: b.Api) -> bytes:
        if api is b.LLAMA_API:
            return api.stream(llama_chunk(finish=reason_of_llama), llama_usage(), "[DONE]")
        delta = {"stop_reason": reason_of_haiku, "stop_sequence": None}
        return api.stream(
            {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        )

    return events


def _as_named(model: str) -> b.Part:
    def renamed(api: b.Api) -> bytes:
        text = b.whole(api)
        for own in (b'"meta-llama/llama-4-scout"', b'"claude-haiku-4-5-20251001"'):
            text = text.replace(own, f'"{model}"'.encode())
        return text

    return renamed


def _named_at_length(api: b.Api) -> bytes:
    named = {"model": "m" * 100_000}
    if api is b.HAIKU_API:
        return api.encode({"type": "message_start", "message": named})
    return api.encode({**llama_chunk("x"), **named})


def _of_another_answer(api: b.Api) -> bytes:
    """An answer's beginning within another."""
    if api is b.HAIKU_API:
        return api.answer(SAID, REST)
    return api.stream(
        {**llama_chunk(""), "id": "gen-2"},
        *({**llama_chunk(text), "id": "gen-2"} for text in (SAID, REST)),
        *api.closing,
    )


def _second_choice(content: str | None = None, finish: str | None = None) -> b.Part:
    choice = {"index": 1, "delta": {"content": content}, "finish_reason": finish}
    return b.event({"id": "gen-1", "choices": [choice]})


_STOP = b.event(llama_chunk(finish="stop"))
_DONE = b.event("[DONE]")
_USAGE = {"input_tokens": 500, "output_tokens": 100, "estimated": False}


def _words(api: b.Api) -> bytes:
    """A whole text, not yet ended."""
    return api.stream(*api.opening, api.piece(SAID), api.piece(REST))


def _llama_delivers(row: int, name: str, title: str, *parts: b.Part, **more: Any) -> Fault:
    shows = more.pop("shows", {})
    return Fault(row, name, title, b.sends(*parts, **more), of=Models.LLAMA, shows=shows)


MATRIX: list[Fault] = [
    Fault(1, "unresolved", "name does not resolve", None, K.CONNECTION, network="unresolved"),
    Fault(2, "refused", "connection refused", None, K.CONNECTION, network="refused"),
    Fault(
        3, "silent", "accepts, never answers",
        b.silent, K.TIMEOUT_FIRST_CONTENT, until_s=FIRST_CONTENT_S,
    ),
    Fault(
        3, "unread", "takes the connection, reads nothing",
        None, K.TIMEOUT_FIRST_CONTENT, until_s=FIRST_CONTENT_S, network="unread",
    ),
    Fault(
        4, "dropped", "packets dropped at connect",
        None, K.TIMEOUT_CONNECT, until_s=CONNECT_S, network="dropped",
    ),
    Fault(5, "unknown-ca", "certificate of an unknown authority", None, K.CERTIFICATE,
          network="unknown-ca"),
    Fault(5, "expired", "certificate expired", None, K.CERTIFICATE, network="expired"),
    Fault(5, "another-host", "certificate of another host", None, K.CERTIFICATE,
          network="another-host"),
    Fault(5, "no-tls", "no TLS where TLS is expected", None, K.CERTIFICATE, network="no-tls"),
    _status(6, 400, K.BAD_REQUEST),
    _status(6, 422, K.BAD_REQUEST),
    Fault(
        7, "400-context", "HTTP 400: context too long",
        b.answers(400, {"error": {"code": 400, "message": _TOO_LONG}}), K.CONTEXT_LENGTH,
    ),
    _status(7, 413, K.CONTEXT_LENGTH),
    _status(8, 401, K.AUTHENTICATION),
    _status(9, 402, K.PAYMENT, Retry_After="30"),
    _status(10, 402, K.PAYMENT),
    Fault(
        11, "moderation", "HTTP 403: moderation",
        b.answers(403, _MODERATED), K.CONTENT_FILTER, of=Models.LLAMA,
    ),
    _status(12, 403, K.PERMISSION, "HTTP 403: key or budget limit"),
    _status(13, 404, K.NOT_FOUND, "HTTP 404: model gone"),
    _status(14, 408, K.SERVER),
    _status(14, 409, K.SERVER),
    _status(15, 429, K.RATE_LIMIT, Retry_After="30"),
    _status(16, 429, K.RATE_LIMIT),
    *(
        Fault(17, name, f"HTTP 429, `Retry-After` {title}",
              b.answers(429, Retry_After=value), K.RATE_LIMIT, waits=name in {"later", "enormous"})
        for name, title, value in (
            ("later", "as a date in a year", _LATER),
            ("earlier", "as a date in the past", _EARLIER),
            ("negative", "negative", "-3"),
            ("enormous", "of 10⁹ seconds", "1000000000"),
            ("rubbish", "rubbish", "soon; maybe"),
        )
    ),
    *(_status(18, code, K.SERVER) for code in (500, 502, 504, 524)),
    *(_status(18, code, K.OVERLOADED) for code in (503, 529)),
    _status(18, 503, K.OVERLOADED, Retry_After="30"),
    *(
        Fault(18, f"{code}-html", f"HTTP {code} with HTML", b.answers(code, _HTML), kind)
        for code, kind in ((502, K.SERVER), (503, K.OVERLOADED))
    ),
    Fault(18, "500-deep", "HTTP 500 with JSON nested 5,000 deep",
          b.answers(500, f'{{"error": {{"metadata": {_DEEP}}}}}'), K.SERVER),
    Fault(18, "500-digits", "HTTP 500 with an error code of 5,000 digits",
          b.answers(500, {"error": {"code": "1" * 5_000}}), K.SERVER),
    Fault(18, "503-hangs", "HTTP 503 whose body hangs", b.half_a_body(503, "hang"), K.OVERLOADED),
    Fault(18, "429-hangs", "HTTP 429, `Retry-After: 30`, whose body hangs",
          b.half_a_body(429, "hang", Retry_After="30"), K.RATE_LIMIT, waits=True),
    Fault(18, "500-endless", "HTTP 500 with a body without end", b.endless_body(500), K.SERVER),
    Fault(
        20, "spent", "spend limit reached (a 400 of Anthropic's)",
        b.answers(400, _SPENT), K.PAYMENT, of=Models.HAIKU,
    ),
    Fault(21, "html", "HTTP 200 with HTML", b.answers(200, _HTML), K.PROTOCOL),
    Fault(
        21, "html-as-events", "HTTP 200 with HTML that calls itself an event stream",
        b.sends(_HTML.encode()), K.PROTOCOL,
    ),
    Fault(21, "endless", "HTTP 200 with a body without end", b.endless_body(200), K.PROTOCOL),
    Fault(21, "not-http", "not HTTP at all", b.not_http, K.PROTOCOL),
    Fault(
        22, "error-429", "HTTP 200 with a rate-limit error as its body",
        b.answers_error(200, 429), K.RATE_LIMIT,
    ),
    Fault(
        22, "error-401", "HTTP 200 with a rejected key as its body",
        b.answers_error(200, 401), K.AUTHENTICATION,
    ),
    Fault(23, "truncated-500", "HTTP 500 with half an error object", b.truncated_json(500),
          K.SERVER),
    Fault(23, "truncated-200", "HTTP 200 with half an error object", b.truncated_json(200),
          K.PROTOCOL),
    Fault(23, "cut-401", "HTTP 401, closed in the middle of its body",
          b.half_a_body(401, "close"), K.AUTHENTICATION),
    Fault(23, "cut-429", "HTTP 429, `Retry-After: 30`, closed in the middle of its body",
          b.half_a_body(429, "close", Retry_After="30"), K.RATE_LIMIT, waits=True),
    Fault(23, "long-length", "`Content-Length` longer than the body, after content",
          b.content_length(+10), K.PROTOCOL, True),
    Fault(23, "short-length", "`Content-Length` shorter than the body, before content",
          b.content_length(-1), K.PROTOCOL),
    Fault(23, "half-event", "closed in the middle of an event, before content",
          b.half_an_event(b.opening), K.PROTOCOL),
    Fault(23, _after("half-event"), "closed in the middle of an event, after content",
          b.half_an_event(b.said), K.PROTOCOL, True),
    Fault(23, "closed", "closed without an answer", b.closes_at_once, K.CONNECTION),
    Fault(24, "reason", "HTTP 503 in words that are not UTF-8",
          b.raw("HTTP/1.1 503 Non disponibile più"), K.OVERLOADED),
    Fault(24, "charset", "HTTP 503 in a charset that is none",
          b.raw("HTTP/1.1 503 X\r\nContent-Type: application/json; charset=zip"), K.OVERLOADED),
    *_in_stream(24, "utf8", "invalid UTF-8", [_BAD_UTF8], K.PROTOCOL),
    Fault(25, "bomb", "gzip bomb as the stream", b.gzip_bomb(200), K.PROTOCOL),
    Fault(25, "bomb-500", "gzip bomb as the body of an error", b.gzip_bomb(500), K.SERVER),
    *(
        Fault(26, f"{code}", f"redirect ({code})",
              b.answers(code, "moved", Location="/stolen"), K.PROTOCOL)
        for code in (301, 302, 307, 308)
    ),
    Fault(
        27, "headers-by-byte", "one byte at a time, from the first header",
        b.headers_byte_by_byte, K.TIMEOUT_FIRST_CONTENT, until_s=FIRST_CONTENT_S,
    ),
    Fault(
        27, "letters", "one letter at a time, without end",
        b.for_ever(lambda api: api.stream(api.piece("x")), b.said), K.TIMEOUT_TOTAL, True,
        until_s=TOTAL_S,
    ),
    Fault(28, "headers", "headers without end", b.headers_without_end, K.PROTOCOL),
    Fault(29, "idle", "some content, then silence", b.sends(b.said, then="hang"),
          K.TIMEOUT_IDLE, True, until_s=IDLE_S),
    Fault(29, "idle-comments", "some content, then comments for ever",
          b.for_ever(b": ping\n\n", b.said), K.TIMEOUT_IDLE, True, until_s=IDLE_S),
    Fault(30, "comments", "keep-alive comments for ever",
          b.for_ever(b": OPENROUTER PROCESSING\n\n"), K.TIMEOUT_FIRST_CONTENT,
          until_s=FIRST_CONTENT_S),
    Fault(31, "role", "opening without content, then silence", b.sends(b.opening, then="hang"),
          K.TIMEOUT_FIRST_CONTENT, until_s=FIRST_CONTENT_S),
    Fault(31, "spaces", "white space for ever", b.for_ever(lambda api: api.stream(api.piece(" "))),
          K.TIMEOUT_FIRST_CONTENT, until_s=FIRST_CONTENT_S),
    *_in_stream(32, "no-end", "ends without a finish reason", [], K.PROTOCOL),
    _llama_delivers(33, "no-done", "finish reason, no `[DONE]`", _words, _STOP),
    _llama_delivers(33, "empty-reason", "an empty finish reason with every chunk",
                    b.event(llama_chunk(SAID, "")), b.event(llama_chunk(REST, "")), _STOP, _DONE),
    _llama_delivers(33, "no-done-hangs", "finish reason, then silence", _words, _STOP, then="hang"),
    _llama_delivers(33, "no-done-resets", "finish reason, then a reset", _words, _STOP,
                    then="reset"),
    Fault(33, "no-done-pings", "finish reason, then comments for ever",
          b.for_ever(b": ping\n\n", _words, _STOP), of=Models.LLAMA),
    Fault(33, "stays-open", "ended, but the connection stays open",
          b.sends(b.whole, then="hang")),
    Fault(33, "stays-open-reset", "ended, then a reset", b.sends(b.whole, then="reset")),
    *_in_stream(34, "error-500", "an error in the stream", [b.error_event(500)], K.SERVER),
    *_in_stream(34, "error-529", "overloaded, said in the stream", [b.error_event(529)],
                K.OVERLOADED),
    *_in_stream(34, "error-digits", "an error with a code of 5,000 digits",
                [b.event({"type": "error", "error": {"code": "1" * 5_000}})], K.PROTOCOL),
    Fault(34, "finish-error", "finish reason `error` beside the error, before content",
          b.sends(b.opening, b.event({"choices": [{"finish_reason": "error", "error":
                                                   {"code": 429, "message": "x"}}]})),
          K.RATE_LIMIT, of=Models.LLAMA),
    Fault(34, "stop-error", "finish reason `stop` beside an error, after content",
          b.sends(b.said, b.event({"choices": [{"finish_reason": "stop", "error":
                                                {"code": 502, "message": "x"}}]})),
          K.SERVER, True, of=Models.LLAMA),
    Fault(34, "two-answers", "a second answer begins in the middle of the first",
          b.sends(b.said, _of_another_answer), K.PROTOCOL, True),
    Fault(34, "two-choices", "a second choice between the pieces of the first",
          b.sends(b.said, _second_choice("Oppure "), b.event(llama_chunk(REST)), _STOP, _DONE),
          K.PROTOCOL, True, of=Models.LLAMA),
    Fault(34, "other-choice", "a second choice ends",
          b.sends(b.said, _second_choice(finish="stop"), b.event(llama_chunk(REST)), _STOP, _DONE),
          K.PROTOCOL, True, of=Models.LLAMA),
    Fault(35, "reset-first", "reset before the headers", b.resets_at_once, K.CONNECTION),
    Fault(35, "reset-opening", "reset before content", b.sends(b.opening, then="reset"),
          K.PROTOCOL),
    Fault(35, "reset", "reset after content", b.sends(b.said, then="reset"), K.PROTOCOL, True),
    Fault(36, "line", "a line of 50 MB, before content", b.line_of(50), K.PROTOCOL),
    Fault(36, _after("line"), "a line of 50 MB, after content", b.line_of(50, b.said), K.PROTOCOL,
          True),
    Fault(37, "bytes", "split at every byte", b.every_byte_alone),
    Fault(37, "dressed", "CRLF, comments between, several data lines, byte order mark",
          b.in_another_dress),
    *_in_stream(38, "json", "malformed JSON in one chunk", [b.event('{"choices": [}')], K.PROTOCOL),
    *_in_stream(38, "shape", "JSON of another shape", [b.event('{"choices": 7, "type": 7}')],
                K.PROTOCOL),
    *_in_stream(38, "deep", "JSON nested 5,000 deep in a field of no use",
                [b.event(f'{{"type": "ping", "choices": [], "x": {_DEEP}}}')], K.PROTOCOL),
    *_in_stream(38, "deep-usage", "JSON nested 5,000 deep in the usage",
                [b.event(f'{{"type": "ping", "choices": [], "usage": {_DEEP}}}')], K.PROTOCOL),
    Fault(39, "no-choices", "`choices: []` throughout",
          b.sends(*[b.event({"choices": []})] * 3, _DONE), K.PROTOCOL, of=Models.LLAMA),
    Fault(40, "null", "no content", b.sends(b.opening, _finish("stop", "end_turn")), K.EMPTY),
    Fault(40, "spaces", "white space only",
          b.sends(b.opening, lambda api: api.stream(api.piece(" \n")), _finish("stop", "end_turn")),
          K.EMPTY),
    Fault(41, "filter", "filtered by the model, before content",
          b.sends(b.opening, _finish("content_filter", "refusal")), K.CONTENT_FILTER),
    Fault(41, _after("filter"), "filtered by the model, after content",
          b.sends(b.said, _finish("content_filter", "refusal")), K.CONTENT_FILTER, True),
    Fault(42, "length", "cut off at the token limit",
          b.sends(_words, _finish("length", "max_tokens")), shows={"finish_reason": "length"}),
    _llama_delivers(43, "usage-missing", "no usage", _words, _STOP, _DONE,
                    shows={"usage": {"output_tokens": 8, "estimated": True}}),
    _llama_delivers(
        43, "usage-twice", "usage twice", _words, _STOP, b.event(llama_usage(1, 1, 9.0)),
        b.event(llama_usage()), _DONE, shows={"usage": _USAGE, "cost_usd": 0.00034},
    ),
    _llama_delivers(
        43, "usage-rubbish", "usage of another shape", _words, _STOP,
        b.event({"choices": [], "usage": {"prompt_tokens": "many", "cost": []}}), _DONE,
        shows={"usage": {"estimated": True}},
    ),
    _llama_delivers(
        43, "usage-early", "usage of another shape before the finish", b.opening,
        b.event({**llama_chunk(SAID), "usage": {"prompt_tokens": None}}),
        b.event(llama_chunk(REST)), _STOP, b.event(llama_usage()), _DONE, shows={"usage": _USAGE},
    ),
    Fault(43, "usage-cut", "usage, but no finish reason, after content",
          b.sends(b.said, b.event(llama_usage()), _DONE), K.PROTOCOL, True, of=Models.LLAMA),
    Fault(43, "usage-error", "usage beside an error, after content",
          b.sends(b.said, b.event({**llama_usage(), "error": {"code": 502, "message": "x"}})),
          K.SERVER, True, of=Models.LLAMA),
    Fault(43, "usage-after-error", "usage after an error, after content",
          b.sends(b.said, b.error_event(502), b.event(llama_usage()), _DONE),
          K.SERVER, True, of=Models.LLAMA),
    Fault(43, "usage-shape", "usage of another shape",
          b.sends(_words, b.event({"type": "message_delta", "usage": {"output_tokens": "many"},
                                   "delta": {"stop_reason": "end_turn"}}),
                  b.event({"type": "message_stop"})),
          of=Models.HAIKU, shows={"model": "claude-haiku-4-5-20251001"}),
    _llama_delivers(44, "after-finish", "content after the finish, `[DONE]` twice", _words, _STOP,
                    b.event(llama_chunk("And one more thing.")), b.event(llama_usage()), _DONE,
                    b.event(llama_chunk("And another.")), _DONE, shows={"usage": _USAGE}),
    _llama_delivers(44, "rubbish-after", "rubbish after the finish", _words, _STOP,
                    b.event("{not json"), b.event({"error": {"code": 500}}), _DONE),
    Fault(44, "after-stop", "content after the end",
          b.sends(b.whole, lambda api: api.stream(api.piece("And one more thing.")))),
    Fault(44, "after-reason", "content after the stop reason",
          b.sends(_words, b.event({"type": "message_delta", "usage": {"output_tokens": 9},
                                   "delta": {"stop_reason": "end_turn"}}),
                  lambda api: api.stream(api.piece("And one more thing."), *api.closing)),
          of=Models.HAIKU),
    *_in_stream(45, "tool", "a tool call, but no tool was given", [_tool_call], K.PROTOCOL),
    Fault(46, "another-model", "another model's name, which has a price",
          b.sends(_as_named("claude-sonnet-4-5")), of=Models.HAIKU,
          shows={"model": "claude-sonnet-4-5", "cost_usd": 600e-6 * 3 + 120e-6 * 15}),
    Fault(46, "unknown-model", "another model's name, which has none",
          b.sends(_as_named("acme/unheard-of")), of=Models.HAIKU,
          shows={"model": "acme/unheard-of", "cost_usd": None}),
    *_in_stream(46, "long-name", "a model's name of 100,000 characters",
                [_named_at_length], K.PROTOCOL),
    Fault(46, "named-llama", "another model's name, and what was billed",
          b.sends(_as_named("meta-llama/llama-4-maverick")), of=Models.LLAMA,
          shows={"model": "meta-llama/llama-4-maverick", "cost_usd": 0.00034}),
    Fault(55, "no-stop", "cut after the stop reason, without `message_stop`",
          b.sends(_words, b.event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})),
          K.PROTOCOL, True, of=Models.HAIKU),
    Fault(55, "no-reason", "`message_stop` without a stop reason",
          b.sends(_words, b.event({"type": "message_stop"})), K.PROTOCOL, True, of=Models.HAIKU),
    Fault(55, "pings", "pings for ever", b.for_ever(b'event: ping\ndata: {"type": "ping"}\n\n',
          b.opening), K.TIMEOUT_FIRST_CONTENT, until_s=FIRST_CONTENT_S, of=Models.HAIKU),
]  # fmt: skip
