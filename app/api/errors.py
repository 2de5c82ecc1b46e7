"""Every refusal and failure as RFC 9457 problem details, with nothing of the inside.

Our own rather than fastapi-problem or fastapi-problem-details: both put the
exception's text or the caller's input into the answer unless told otherwise.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from app.api.headers import EVERYWHERE
from app.errors import (
    AnswerUnavailable,
    DocumentRejected,
    FailureKind,
    IndexNotReady,
    MediaRejected,
    ProviderError,
    RetrievalError,
    TooMuchWaiting,
)
from app.wire import openai

Handler = Callable[[Request, Any], Awaitable[Response]]

logger = structlog.get_logger(__name__)

SETUP = "Set OPENROUTER_API_KEY_LLAMA or ANTHROPIC_API_KEY"
MAX_ERRORS = 20
MAX_ERROR_CHARS = 300
"""Of a field's name, which may be the caller's, and of what is wrong with it."""
_KEPT = {"allow", "retry-after", "www-authenticate", "connection", *map(str.lower, EVERYWHERE)}
CLIENT_CLOSED_REQUEST = 499
"""Nobody reads it; nginx's number, for what counts answers by their status."""


def problem(
    status: int,
    detail: str | None = None,
    *,
    headers: dict[str, str] | None = None,
    **extensions: Any,
) -> JSONResponse:
    """An `application/problem+json` answer. `extensions` are further members of it."""
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": correlation_id.get(),
        **extensions,
    }
    return JSONResponse(
        {name: value for name, value in members.items() if value is not None},
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception that a handler may raise, in the form that the path speaks."""
    for raised, handler in _HANDLERS.items():
        app.add_exception_handler(raised, partial(_in_the_paths_form, handler))


def refusal(path: str, status: int, detail: str, headers: dict[str, str]) -> Response:
    """A refusal that no handler raised, in the form that the path speaks."""
    return _spoken_at(path, problem(status, detail, headers=headers))


async def _in_the_paths_form(handler: Handler, request: Request, error: Exception) -> Response:
    return _spoken_at(request.url.path, await handler(request, error))


def _spoken_at(path: str, response: Response) -> Response:
    if not path.startswith("/v1/") or not response.body:
        return response
    told = msgspec.json.decode(response.body)
    first = told.get("errors", [{}])[0]
    envelope = openai.error(
        response.status_code,
        ": ".join(filter(None, (first.get("field"), first.get("message"))))
        or told.get("detail", told["title"]),
        param=first.get("field"),
        code=told.get("kind"),
    )
    kept = {name: value for name, value in response.headers.items() if name in _KEPT}
    return JSONResponse(envelope, response.status_code, kept)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, ClientDisconnect):
        return await _left(request, error.__cause__)  # FastAPI makes a 400 of it
    headers = dict(error.headers) if error.headers else None
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_methods(request))}
    phrase = HTTPStatus(error.status_code).phrase
    detail = None if error.detail == phrase else error.detail
    return problem(error.status_code, detail, headers=headers)


def _methods(request: Request) -> list[str]:
    """What the path takes by all of its routes: Starlette names those of the first alone."""
    return [
        method
        for method in ("DELETE", "GET", "HEAD", "POST")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]


async def _invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()[:MAX_ERRORS]
    given = request.headers.get("content-type", "")
    unread = found[0]["type"] == "model_attributes_type" and found[0]["loc"] == ("body",)
    if unread and not given.startswith("application/json"):
        return problem(415, "send JSON, with the header content-type: application/json")
    errors = [
        {
            "field": ".".join(str(part)[:MAX_ERROR_CHARS] for part in e["loc"][1:])[
                :MAX_ERROR_CHARS
            ],
            "message": e["msg"][:MAX_ERROR_CHARS],
        }
        for e in found
    ]
    return problem(422, "the request is not of the documented form", errors=errors)


async def _unavailable(_: Request, error: AnswerUnavailable) -> JSONResponse:
    if not error.failures:
        return problem(503, str(error), setup_required=SETUP)
    wait = max(1, round(error.retry_after_s))
    return problem(
        503,
        f"{error}; try again in {wait} s",
        headers={"Retry-After": str(wait)},
        causes={name: failure.kind for name, failure in error.failures.items()},
    )


async def _refused(_: Request, error: ProviderError) -> JSONResponse:
    match error.kind:
        case FailureKind.CONTENT_FILTER:
            detail = "the model's content filter refused this conversation"
            return problem(422, detail, kind=error.kind)
        case FailureKind.SPENDING_LIMIT:
            wait = {"Retry-After": str(math.ceil(error.retry_after_s or 1))}
            return problem(429, error.detail, headers=wait, kind=error.kind)
        case FailureKind.CONTEXT_LENGTH:
            return problem(413, error.detail, kind=error.kind)
        case FailureKind.BAD_REQUEST:
            return problem(400, "no model accepted this conversation", kind=error.kind)
        case _:
            raise error  # the router turns every other kind into AnswerUnavailable


async def _rejected(_: Request, error: DocumentRejected | MediaRejected) -> JSONResponse:
    return problem(422, str(error))


async def _too_much(_: Request, error: TooMuchWaiting) -> JSONResponse:
    wait = str(error.retry_after_s)
    detail = f"{error}; try again in {wait} s, with fewer at once"
    return problem(429, detail, headers={"Retry-After": wait})


async def _no_knowledge(_: Request, error: RetrievalError) -> JSONResponse:
    retry = {"Retry-After": "5"}
    if isinstance(error, IndexNotReady):
        return problem(503, "the index is being built", headers=retry)
    # The message names files of this machine.
    logger.error("the knowledge base failed", reason=str(error))
    detail = "the knowledge base cannot be read or written at the moment"
    return problem(503, detail, headers=retry)


async def _left(_: Request, __: ClientDisconnect) -> Response:
    logger.info("the client hung up before its answer")
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _crashed(_: Request, error: Exception) -> JSONResponse:
    logger.error("unhandled error", exc_info=error)
    detail = "an error of the service; quote the request id when you report it"
    # Sent from outside of all middleware.
    return problem(500, detail, headers=EVERYWHERE)


_HANDLERS: dict[type[Exception], Handler] = {
    HTTPException: _http_error,
    RequestValidationError: _invalid_request,
    AnswerUnavailable: _unavailable,
    ProviderError: _refused,
    DocumentRejected: _rejected,
    MediaRejected: _rejected,
    RetrievalError: _no_knowledge,
    TooMuchWaiting: _too_much,
    ClientDisconnect: _left,
    Exception: _crashed,
}
