"""Claude Haiku 4.5 through the official SDK."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import aiohttp
import anthropic
import httpx2
from httpx_aiohttp.httpx2 import AiohttpTransport, Httpx2AiohttpClient
from pydantic import SecretStr

from app.errors import ProviderError
from app.llm.connections import current_usage, no_cookies, pool
from app.llm.failures import failure_from_response, failure_from_transport
from app.llm.haiku_request import message_params, tool_choice_param, tool_params
from app.llm.haiku_wire import MessageStream
from app.llm.pieces import coalesce_deltas
from app.llm.provider import CallUsage, ChatRequest, KeyState, ProviderEvent
from app.llm.responses import is_event_stream, read_bounded, require_event_stream
from app.llm.sse import SSEDecoder

KEY_CHECK_TIMEOUT_S = 5.0


class HaikuProvider:
    """Streams messages from Anthropic's API."""

    name = "anthropic"

    def __init__(
        self, api_key: SecretStr, *, base_url: str, model: str, connect_timeout_s: float
    ) -> None:
        self.model = model
        verified = httpx2.create_ssl_context()
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key.get_secret_value(),
            base_url=base_url,
            max_retries=0,  # retries have one owner: the router
            default_headers={"Accept-Encoding": "identity"},
            open_telemetry=False,
            http_client=Httpx2AiohttpClient(
                timeout=httpx2.Timeout(None, connect=connect_timeout_s, pool=connect_timeout_s),
                transport=AiohttpTransport(verify=verified, client=pool(verified, base_url)),
                cookies=no_cookies(),
                follow_redirects=False,
                event_hooks={"response": [_bound]},
            ),
            timeout=httpx2.Timeout(None, connect=connect_timeout_s, pool=connect_timeout_s),
        )

    async def load(self) -> None:
        """Nothing is left to load."""

    async def stream(
        self, request: ChatRequest, call_usage: CallUsage
    ) -> AsyncGenerator[ProviderEvent]:
        """Yield the answer's deltas, then `Completed`. Raises `ProviderError`.

        `request.temperature` is not passed on: this API version refuses it.
        """
        message = MessageStream(call_usage, tools_given=bool(request.toolbox.tools))
        current_usage.set(call_usage)
        try:
            async with self._client.messages.with_streaming_response.create(
                model=self.model,
                max_tokens=request.max_tokens,
                messages=message_params(request),
                system=request.system or anthropic.omit,
                tools=tool_params(request) or anthropic.omit,
                tool_choice=tool_choice_param(request) or anthropic.omit,
                stream=True,
            ) as response:
                chunks = response.iter_bytes()
                await require_event_stream(response.status_code, response.headers, chunks)
                decoder = SSEDecoder()
                async for chunk in chunks:
                    for delta in coalesce_deltas(map(message.take, decoder.feed(chunk))):
                        yield delta
                    if message.stopped:
                        break
        except anthropic.APIStatusError as error:
            raise _failure_from_status(error) from error
        except (anthropic.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError) as error:
            raise failure_from_transport(error) from error
        for event in message.closing_events():
            yield event

    async def check_key(self) -> KeyState:
        """Ask for the model's description: free, and it needs the key."""
        try:
            async with asyncio.timeout(KEY_CHECK_TIMEOUT_S):
                await self._client.models.retrieve(self.model)
        except anthropic.AuthenticationError:
            return KeyState.REJECTED
        except (
            anthropic.APIError,
            httpx2.HTTPError,
            aiohttp.ClientError,
            ValueError,
            RecursionError,  # a description nested too deep
            TimeoutError,
        ):
            return KeyState.UNKNOWN
        return KeyState.VALID

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _bound(response: httpx2.Response) -> None:
    """Cut off what is read whole, by the SDK and unpacked: all but an answer's stream."""
    is_answer = response.request.method == "POST" and is_event_stream(response.headers)
    if not (is_answer and response.status_code == 200):
        response.headers.pop("content-encoding", None)
        # Without a charset: Python has some that are none of a text, and it would be read in it.
        response.headers["content-type"] = "application/json"
        assert isinstance(response.stream, httpx2.AsyncByteStream), "of an async client"
        response.stream = _FirstBytes(response.stream)


class _FirstBytes(httpx2.AsyncByteStream):
    """As much of a body as `read_bounded` takes."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield await read_bounded(aiter(self._body), cut_off_by=httpx2.HTTPError)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._body.aclose()


def _failure_from_status(error: anthropic.APIStatusError) -> ProviderError:
    body = error.body
    described = body.get("error") if isinstance(body, dict) else None
    return failure_from_response(
        error.status_code,
        error.response.headers,
        described if isinstance(described, dict) else None,
    )
