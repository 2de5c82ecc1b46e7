"""A provider whose code takes long to load: loaded beside the start, not before it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from app.llm.provider import Bill, ChatRequest, KeyState, Provider, ProviderEvent


class LateProvider:
    """Makes a provider in a thread when it is first needed; every later call has it at once."""

    def __init__(self, name: str, model: str, make: Callable[[], Provider]) -> None:
        self.name = name
        self.model = model
        self._make = make
        self._making: asyncio.Task[Provider] | None = None

    async def _made(self) -> Provider:
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        # Whoever gives up waiting does not take it from those who still wait.
        return await asyncio.shield(self._making)

    async def load(self) -> None:
        """Make the provider, if nobody has."""
        await self._made()

    async def stream(self, request: ChatRequest, bill: Bill) -> AsyncGenerator[ProviderEvent]:
        """As the provider's own."""
        provider = await self._made()
        async with aclosing(provider.stream(request, bill)) as events:
            async for event in events:
                yield event

    async def check_key(self) -> KeyState:
        """As the provider's own."""
        return await (await self._made()).check_key()

    async def aclose(self) -> None:
        """Close the provider, if it was ever needed."""
        if self._making is not None:
            await (await self._made()).aclose()
