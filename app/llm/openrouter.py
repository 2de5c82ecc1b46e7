"""Llama 4 Scout behind OpenRouter, or any server that speaks OpenAI's chat completions."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import httpx
import msgspec
from pydantic import SecretStr

from app.errors import ProviderError
from app.llm.connections import current_usage, pool
from app.llm.failures import MALFORMED_JSON, failure_from_transport
from app.llm.openrouter_wire import Completion, request_body
from app.llm.pieces import coalesce_deltas
from app.llm.provider import AwaitingUsage, CallUsage, ChatRequest, KeyState, ProviderEvent
from app.llm.responses import read_bounded, require_event_stream
from app.llm.sse import SSEDecoder

USAGE_GRACE_S = 2.0
"""How long the usage may follow the finish reason; the answer is complete without it."""
USAGE_AFTER_FAILURE_S = 0.25
"""How long it may follow an error, since a caller waits for the fallback meanwhile."""
KEY_CHECK_TIMEOUT_S = 5.0


class OpenRouterProvider:
    """Streams chat completions from `{base_url}/chat/completions`."""

    name = "openrouter"

    def __init__(
        self, api_key: SecretStr, *, base_url: str, model: str, connect_timeout_s: float
    ) -> None:
        self.model = model
        # aiohttp as it is: httpx's own pool never recovers from cancelled requests and costs four
        # times the CPU at 64 streams, and httpx above aiohttp a tenth of a turn (measured).
        self._open_pool = pool(httpx.create_ssl_context(), base_url)
        self._pool: aiohttp.ClientSession | None = None
        self._base_url = base_url
        self._api_key = api_key
        self._headers = {
            "HTTP-Referer": "https://nuzantara-rag.fly.dev",
            "X-Title": "ZANTARA",
            "Content-Type": "application/json",
            # What is not compressed cannot be a compression bomb.
            "Accept-Encoding": "identity",
        }
        # No read limit here: the router's own timers know content from keep-alives.
        self._timeout = aiohttp.ClientTimeout(
            sock_connect=connect_timeout_s, connect=connect_timeout_s
        )

    async def load(self) -> None:
        """Nothing is left to load."""

    async def stream(
        self, request: ChatRequest, call_usage: CallUsage
    ) -> AsyncGenerator[ProviderEvent]:
        """Yield the answer's deltas, then `Completed`. Raises `ProviderError`."""
        body = request_body(request, self.model)
        completion = Completion(call_usage, tools_given=bool(request.toolbox.tools))
        current_usage.set(call_usage)
        try:
            async with self._asked("POST", "/chat/completions", body) as (answer, chunks):
                await require_event_stream(answer.status, _headers(answer), chunks)
                decoder = SSEDecoder()
                async for chunk in chunks:
                    for event in coalesce_deltas(map(completion.take, decoder.feed(chunk))):
                        yield event
                    if completion.finished or completion.ended:
                        break
                if completion.finished and not completion.ended:
                    yield AwaitingUsage()
                    await _take_usage(chunks, decoder, completion)
        except aiohttp.ClientError as error:
            raise failure_from_transport(error) from error
        for closing in completion.closing_events():
            yield closing

    async def check_key(self) -> KeyState:
        """Ask `GET {base_url}/key`: free, and a completion is never a health check."""
        try:
            async with (
                asyncio.timeout(KEY_CHECK_TIMEOUT_S),
                self._asked("GET", "/key") as (answer, chunks),
            ):
                described = await read_bounded(chunks)
        except (TimeoutError, aiohttp.ClientError):
            return KeyState.UNKNOWN
        if answer.status == 401:
            return KeyState.REJECTED
        if answer.status != 200:
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
        if self._pool:
            await self._pool.close()

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, body: bytes | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, AsyncIterator[bytes]]]:
        """The answer, whatever its status, and its body; its connection is let go at the end."""
        self._pool = self._pool or self._open_pool()
        async with self._pool.request(
            method,
            self._base_url + path,
            data=body,
            headers={
                "Authorization": f"Bearer {self._api_key.get_secret_value()}",
                **self._headers,
            },
            timeout=self._timeout,
            allow_redirects=False,
        ) as answer:
            yield answer, answer.content.iter_any()


def _headers(answer: aiohttp.ClientResponse) -> Mapping[str, str]:
    """Of a refusal with those that come twice joined by a comma."""
    return answer.headers if answer.status == 200 else httpx.Headers(answer.raw_headers)


class _Key(msgspec.Struct):
    limit_remaining: float | None = None


class _KeyAnswer(msgspec.Struct):
    data: _Key


async def _take_usage(
    chunks: AsyncIterator[bytes], decoder: SSEDecoder, completion: Completion
) -> None:
    """Wait a moment for the usage: how the answer ended is known, nothing can spoil it."""
    grace_s = USAGE_AFTER_FAILURE_S if completion.failed else USAGE_GRACE_S
    try:
        async with asyncio.timeout(grace_s):
            while not completion.ended and (chunk := await anext(chunks, None)) is not None:
                for data in decoder.feed(chunk):
                    completion.take(data)
    except (TimeoutError, ProviderError, aiohttp.ClientError):
        return
