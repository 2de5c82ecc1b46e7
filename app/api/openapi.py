"""What FastAPI cannot tell of the API by itself: the streams' events, and how failures look."""

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from app.api.authentication import OPEN
from app.api.chat_form import JSON_ALONE
from app.api.files import MAX_FILES
from app.api.forms import FORM
from app.events import AiName
from app.wire.answer import AnswerFacts, Source, ToolUse

REFERENCE = "#/components/schemas/"
PROBLEM = "application/problem+json"


REFUSALS = {
    400: "The body is not valid JSON, or no model accepted what it says.",
    401: "No key that this service knows was sent.",
    403: "The key does not open this.",
    404: "There is no such thing, or none that the key may see.",
    408: "The body did not arrive whole in time.",
    413: "The body is too long, or the conversation for any model.",
    415: "The body is of another type, or packed.",
    422: "The request is not of this form (`errors` names the fields), or what it says is refused.",
    429: "Over a limit: `detail` says which, `Retry-After` for how many seconds.",
    500: "An error of the service: quote the request id when you report it.",
    503: "Too much to do, closing, or what it takes is not there: `Retry-After` says until when.",
}
"""What any operation may answer beside what it says itself."""


_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "Of `zantara keys create`. Without any key the machine itself needs none.",
}


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where, with dots between the names.")
    message: str = Field(description="What is wrong.")


class Problem(BaseModel):
    """A refusal or a failure (RFC 9457)."""

    type: str = Field(description="Always `about:blank`: the status says what kind it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str | None = Field(default=None, description="What was wrong, and what to do.")
    request_id: str | None = Field(default=None, description="Quote it when you report a fault.")
    errors: list[FieldError] | None = Field(default=None, description="Of a 422: each field.")
    kind: str | None = Field(default=None, description="Of a model's refusal: its kind.")
    causes: dict[str, str] | None = Field(
        default=None, description="Of a 503: why each model did not answer."
    )
    setup_required: str | None = Field(default=None, description="What its operator has to set.")


class OpenAIErrorBody(BaseModel):
    """What was wrong."""

    message: str = Field(description="What was wrong, and what to do.")
    type: str = Field(description="Such as `invalid_request_error`.")
    param: str | None = Field(description="The field that is wrong.")
    code: str | None = Field(description="The kind of a model's refusal.")


class OpenAIError(BaseModel):
    """A refusal or a failure in OpenAI's envelope."""

    error: OpenAIErrorBody = Field(description="The refusal or failure.")


class RouteEvent(BaseModel):
    """Which model answers; a second one says that another goes on from the last word."""

    ai_used: AiName = Field(description="Who answers.")
    model: str = Field(description="The model's configured name.")
    provider: str = Field(description="Whose API is asked.")
    fallback_reason: str | None = Field(description="Why it is not the first choice.")
    continued: bool = Field(description="It goes on from what another had said.")


class DeltaEvent(BaseModel):
    """A piece of the answer."""

    text: str = Field(description="Never empty.")


class ErrorEvent(BaseModel):
    """The answer broke off: the last event, in place of `done`."""

    kind: str = Field(description="What kind of failure it was.")
    message: str = Field(description="What happened.")
    answer_so_far: str = Field(description="What had been said.")
    resume: Literal["continue_from"] | None = Field(
        description="The field of `POST /chat` that takes `answer_so_far`, where the answer can be "
        "gone on with."
    )
    request_id: str = Field(description="Quote it when you report a fault.")


EVENTS: dict[str, type[BaseModel]] = {
    "sources": Source,
    "route": RouteEvent,
    "delta": DeltaEvent,
    "tool": ToolUse,
    "done": AnswerFacts,
    "error": ErrorEvent,
}
"""The events of a streamed `/chat`; `sources` has a list."""


class DescribedFastAPI(FastAPI):
    """FastAPI, with the rest of the description."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        assert self.openapi_schema is not None, "made above"
        return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """The handler's name: generated clients are named by it."""
    return route.name


def _complete(described: dict[str, Any]) -> None:
    more: list[type[BaseModel]] = [Problem, OpenAIError, *EVENTS.values()]
    _, schemas = models_json_schema(
        [(model, "serialization") for model in more], ref_template=f"{REFERENCE}{{model}}"
    )
    described["components"]["schemas"] |= schemas["$defs"]
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)
    described["components"]["securitySchemes"] = {"key": _KEY}
    described["security"] = [{"key": []}]
    for path, operations in described["paths"].items():
        failure = _failure(path)
        for operation in operations.values():
            if path in OPEN:
                operation["security"] = []
            responses = operation["responses"]
            for status in _refusals(path, operation):
                responses.setdefault(str(status), {"description": REFUSALS[status]})
            responses.get("422", {}).update(description=REFUSALS[422])
            for status, response in responses.items():
                if status >= "4":
                    response["content"] = failure
    _stream(described, "/chat", {"oneOf": [_event(name) for name in EVENTS]})
    chunk = {"data": {"type": "string", "description": "JSON, and `[DONE]` at the end."}}
    for path in ("/v1/chat/completions", "/api/chat"):
        _stream(described, path, {"type": "object", "properties": chunk, "required": ["data"]})
    _form(described)
    # It is never anything but a stream.
    described["paths"]["/api/chat"]["post"]["responses"]["200"]["content"].pop("application/json")


def _refusals(path: str, operation: dict[str, Any]) -> set[int]:
    found = {500}
    if path not in OPEN:
        found |= {401, 403, 429, 503}
    if "{" in path:
        found |= {404}
    if "requestBody" in operation:
        found |= {400, 408, 413, 415, 422}
    return found


def _failure(path: str) -> dict[str, Any]:
    if path.startswith("/v1/"):
        return {"application/json": {"schema": {"$ref": f"{REFERENCE}OpenAIError"}}}
    return {PROBLEM: {"schema": {"$ref": f"{REFERENCE}Problem"}}}


def _form(described: dict[str, Any]) -> None:
    """The other form of a question: the fields of its JSON, but the files as they are."""
    fields = dict(described["components"]["schemas"]["ChatIn"]["properties"])
    for name in JSON_ALONE:
        del fields[name]
    fields["files"] = {
        "type": "array",
        "items": {"type": "string", "contentMediaType": "application/octet-stream"},
        "maxItems": MAX_FILES,
        "description": "Pictures or videos as they are, each of 5 MB at the most.",
    }
    schema = {"type": "object", "properties": fields, "required": ["message"]}
    described["paths"]["/chat"]["post"]["requestBody"]["content"][FORM] = {"schema": schema}


def _stream(described: dict[str, Any], path: str, item: dict[str, Any]) -> None:
    """As FastAPI describes streams of its own: `itemSchema`, an event's fields."""
    answered = described["paths"][path]["post"]["responses"]["200"]
    answered["content"]["text/event-stream"] = {"itemSchema": item}


def _event(name: str) -> dict[str, Any]:
    data: dict[str, Any] = {"$ref": f"{REFERENCE}{EVENTS[name].__name__}"}
    if name == "sources":
        data = {"type": "array", "items": data}
    content = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "type": "object",
        "properties": {"event": {"const": name}, "data": content},
        "required": ["event", "data"],
    }
