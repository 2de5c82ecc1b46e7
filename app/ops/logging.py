"""Structured logs on standard error: pretty for a person, JSON for a machine."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec
import structlog
from asgi_correlation_id import correlation_id
from structlog.typing import EventDict, Processor, WrappedLogger

_json = msgspec.json.Encoder(enc_hook=str)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logging(log_format: Literal["json", "console"]) -> None:
    """Send every record, the libraries' too, through one chain of processors."""
    shared: list[Processor] = [
        _add_request_id,
        structlog.processors.add_log_level,
    ]
    render = _renderers(log_format)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # Started from its own command line, uvicorn has set up its own way of logging.
        logging.getLogger(name).handlers = []
        # Of requests there are lines already (`app.api.access_log`).
        logging.getLogger(name).propagate = name != "uvicorn.access"
    # One line per outgoing request, with its URL: the router's own lines say more.
    for name in ("httpx", "httpx2", "chromadb", "anthropic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _renderers(log_format: Literal["json", "console"]) -> list[Processor]:
    # Without the local variables that both show by default: those hold keys and prompts.
    if log_format == "console":
        return [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _one_line,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                pad_event_to=0,
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        _add_timestamp,
        structlog.processors.ExceptionRenderer(transformer),
        _to_json,
    ]


def _one_line(_: WrappedLogger, __: str, record: EventDict) -> EventDict:
    """Line breaks and a terminal's codes as text, as JSON has them: they may be a stranger's."""
    for name, value in record.items():
        if isinstance(value, str):
            record[name] = _CONTROLS.sub(lambda found: repr(found[0])[1:-1], value)
    return record


def _to_json(_: WrappedLogger, __: str, record: EventDict) -> str:
    try:
        return _json.encode(record).decode()
    except UnicodeEncodeError:  # a file's name that is not UTF-8, say
        return json.dumps(msgspec.to_builtins(record, enc_hook=str))


def _add_timestamp(_: WrappedLogger, __: str, record: EventDict) -> EventDict:
    # As a time: msgspec writes it with the rest, for a fraction of what structlog's own takes.
    record["timestamp"] = datetime.now(UTC)
    return record


def _add_request_id(_: WrappedLogger, __: str, record: EventDict) -> EventDict:
    if request_id := correlation_id.get():
        record["request_id"] = request_id
    return record
