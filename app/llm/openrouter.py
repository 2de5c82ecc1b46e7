"""Llama 4 Scout behind OpenRouter, or any server that speaks OpenAI's chat completions."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient
from pydantic import SecretStr

from app.errors import ProviderError
from app.events import TextDelta
from app.llm.connections import billed_to, pool
from app.llm.failures import MALFORMED_JSON, failure_from_transport
from app.llm.openrouter_wire import Completion, request_body
from app.llm.provider import Bill, ChatRequest, Ending, KeyState, ProviderEvent, ToolCallGrows
from app.llm.responses import read_bounded, require_event_stream
from app.llm.sse import SSEDecoder

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
        verified = httpx.create_ssl_context()
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
            transport=AiohttpTransport(verify=verified, client=pool(verified, base_url)),
            follow_redirects=False,
        )

    async def load(self) -> None:
        """Nothing is left to load."""

    async def stream(self, request: ChatRequest, bill: Bill) -> AsyncGenerator[ProviderEvent]:
        """Yield the answer's pieces, then `Completed`. Raises `ProviderError`."""
        body = request_body(request, self.model)
        billed_to.set(bill)
        try:
            async with self._client.stream("POST", "/chat/completions", content=body) as response:
                chunks = response.aiter_raw()
                await require_event_stream(response.status_code, response.headers, chunks)
                completion = Completion(bill, tools_given=bool(request.toolbox.tools))
                async with aclosing(_told(chunks, completion)) as told:
                    async for event in told:
                        yield event
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise failure_from_transport(error) from error
        for closing in completion.closing_events():
            yield closing

    async def check_key(self) -> KeyState:
        """Ask `GET {base_url}/key`: free, and a completion is never a health check."""
        try:
            async with (
                asyncio.timeout(KEY_CHECK_TIMEOUT_S),
                self._client.stream("GET", "/key") as response,
            ):
                described = await read_bounded(response.aiter_raw())
        except (TimeoutError, httpx.HTTPError, aiohttp.ClientError):
            return KeyState.UNKNOWN
        if response.status_code == 401:
            return KeyState.REJECTED
        if response.status_code != 200:
            # A compatible server need not have this endpoint; a 403 is of it, not of the key.
            return KeyState.UNKNOWN
        try:
            remaining = msgspec.json.decode(described, type=_KeyAnswer).data.limit_remaining
        except MALFORMED_JSON:
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


async def _told(
    chunks: AsyncIterator[bytes], completion: Completion
) -> AsyncGenerator[TextDelta | ToolCallGrows | Ending]:
    """The text of the stream, up to the finish reason; what may follow is only the usage."""
    async with aclosing(_events(chunks)) as events:
        async for data in events:
            if delta := completion.take(data):
                yield delta
            if completion.finished:
                yield Ending()
                await _take_usage(events, completion)
                return


async def _events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    decoder = SSEDecoder()
    async for chunk in chunks:
        for data in decoder.feed(chunk):
            if data == b"[DONE]":
                return
            yield data


async def _take_usage(events: AsyncIterator[bytes], completion: Completion) -> None:
    try:
        async with asyncio.timeout(USAGE_GRACE_S):
            async for data in events:
                completion.take(data)
    except (TimeoutError, ProviderError, httpx.HTTPError, aiohttp.ClientError):
        return  # the answer is whole already: nothing that follows can spoil it
