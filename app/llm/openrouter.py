"""Llama 4 Scout behind OpenRouter, or any server that speaks OpenAI's chat completions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import HttpxAiohttpClient
from pydantic import SecretStr

from app.errors import FailureKind, ProviderError
from app.events import TextDelta
from app.llm.failures import failure_from_response, failure_from_transport
from app.llm.openrouter_wire import Completion, request_body
from app.llm.provider import ChatRequest, KeyState, ProviderEvent
from app.llm.sse import SSEDecoder

MAX_ERROR_BYTES = 64_000
USAGE_GRACE_S = 2.0
"""How long the usage may follow the finish reason; the answer is whole without it."""
KEY_CHECK_TIMEOUT_S = 5.0


class OpenRouterProvider:
    """Streams chat completions from `{base_url}/chat/completions`."""

    name = "openrouter"

    def __init__(
        self, api_key: SecretStr, *, base_url: str, model: str, connect_timeout_s: float
    ) -> None:
        self.model = model
        # aiohttp underneath: httpx's own pool never recovers from cancelled
        # requests and costs four times the CPU at 64 streams (measured).
        self._client = HttpxAiohttpClient(
            base_url=base_url,
            headers={
                "Authorization": f"Bearer {api_key.get_secret_value()}",
                "HTTP-Referer": "https://nuzantara-rag.fly.dev",
                "X-Title": "ZANTARA",
                "Content-Type": "application/json",
                # What is not compressed cannot be a compression bomb.
                "Accept-Encoding": "identity",
            },
            # No read limit here: the router's own timers know content from keep-alives.
            timeout=httpx.Timeout(None, connect=connect_timeout_s, pool=connect_timeout_s),
            limits=httpx.Limits(max_connections=2000, keepalive_expiry=30),
            follow_redirects=False,
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        """Yield the answer's pieces, then `Completed`. Raises `ProviderError`."""
        body = request_body(request, self.model)
        try:
            async with self._client.stream("POST", "/chat/completions", content=body) as response:
                await _require_event_stream(response)
                completion = Completion(self.model, tools_given=bool(request.tools))
                async with aclosing(_deltas(response, completion)) as deltas:
                    async for delta in deltas:
                        yield delta
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise failure_from_transport(error) from error
        for event in completion.closing_events():
            yield event

    async def check_key(self) -> KeyState:
        """Ask `GET {base_url}/key`: free, and a completion is never a health check."""
        try:
            response = await self._client.get("/key", timeout=KEY_CHECK_TIMEOUT_S)
        except (httpx.HTTPError, aiohttp.ClientError):
            return KeyState.UNKNOWN
        if response.status_code in (401, 403):
            return KeyState.REJECTED
        if response.status_code != 200:
            return KeyState.UNKNOWN  # a compatible server need not have this endpoint
        try:
            remaining = msgspec.json.decode(response.content, type=_KeyAnswer).data.limit_remaining
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return KeyState.UNKNOWN
        spent = remaining is not None and remaining <= 0
        return KeyState.OUT_OF_CREDIT if spent else KeyState.VALID

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class _Key(msgspec.Struct):
    limit_remaining: float | None = None


class _KeyAnswer(msgspec.Struct):
    data: _Key


class _ErrorAnswer(msgspec.Struct):
    error: dict[str, Any] | None = None


async def _deltas(response: httpx.Response, completion: Completion) -> AsyncGenerator[TextDelta]:
    """The text of the stream, up to `[DONE]`, its end, or a silence after the finish reason."""
    decoder = SSEDecoder()
    chunks = response.aiter_raw()
    while True:
        try:
            async with asyncio.timeout(USAGE_GRACE_S if completion.finished else None):
                chunk = await anext(chunks, None)
        except TimeoutError:
            return
        except (httpx.HTTPError, aiohttp.ClientError):
            if completion.finished:
                return  # nothing but the usage was still to come
            raise
        if chunk is None:
            return
        for data in decoder.feed(chunk):
            if data == b"[DONE]":
                return
            if delta := completion.take(data):
                yield delta


async def _require_event_stream(response: httpx.Response) -> None:
    """Raise the failure that any answer other than an event stream stands for."""
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code == 200 and content_type == "text/event-stream":
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ProviderError(FailureKind.PROTOCOL, "a compressed answer that nobody asked for")
        return
    try:
        error = msgspec.json.decode(await _read_bounded(response), type=_ErrorAnswer).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = None
    if response.status_code == 200 and error is None:
        raise ProviderError(FailureKind.PROTOCOL, "HTTP 200 that is not an event stream")
    raise failure_from_response(response.status_code, response.headers, error)


async def _read_bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ERROR_BYTES:
            break
    return bytes(body[:MAX_ERROR_BYTES])
