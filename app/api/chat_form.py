"""`POST /chat` as a form, so that a picture is uploaded as it is: `curl -F files=@passport.jpg`.

A form becomes the JSON that it stands for, so that there is one way through: its files become data
URLs, and what is no file keeps its name and its words.
"""

import base64
import mimetypes
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from starlette.datastructures import FormData, MutableHeaders, UploadFile
from starlette.types import Message

from app.api.files import MAX_FILE_BYTES, MAX_FILES
from app.api.forms import bounded_form, is_form
from app.api.strict_json import StrictJsonRoute
from app.chat.service_tools import TOOL_NAMES
from app.errors import MediaRejected

JSON_ALONE: Final = ("messages", "filters", "continue_from")
"""The fields that a form has no words for, or no use."""
_UNKNOWN: Final = "application/octet-stream"


class FormOrJsonRoute(StrictJsonRoute):
    """A route whose body may be either."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of JSON, given the JSON of a form."""
        handler = super().get_route_handler()

        async def either(request: Request) -> Response:
            return await handler(await _as_json(request) if is_form(request) else request)

        return either


async def _as_json(request: Request) -> Request:
    """The request as JSON. Raises `MediaRejected`, and a 400 for what is no form."""
    async with bounded_form(request, MAX_FILES) as form:
        fields = {name: await _value(form, name) for name in form}
    body = msgspec.json.encode(fields)
    headers = MutableHeaders(raw=list(request.scope["headers"]))
    headers["content-type"] = "application/json"
    left = [body]

    async def receive() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await request.receive()  # the client's leaving

    return Request({**request.scope, "headers": headers.raw}, receive)


async def _value(form: FormData, name: str) -> Any:
    values = form.getlist(name)
    if name == "files":
        return [await _data_url(file, f"file {n}") for n, file in enumerate(values, 1)]
    if any(isinstance(value, UploadFile) for value in values):
        raise MediaRejected(f"a file stands in the field {name[:100]}; send it as files")
    named = name == "tools" and values[0] in TOOL_NAMES
    return values if named or len(values) > 1 else values[0]


async def _data_url(file: UploadFile | str, which: str) -> str:
    if isinstance(file, str):
        return file
    content = await file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise MediaRejected(f"{which} is larger than {MAX_FILE_BYTES:,} bytes")
    kind = (file.content_type or _UNKNOWN).partition(";")[0].strip().lower()
    if kind == _UNKNOWN:  # curl knows few endings
        kind = mimetypes.guess_type(file.filename or "", strict=False)[0] or kind
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
