"""A provider whose code takes long to load: loaded beside the start, not before it."""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from app.errors import FailureKind, ProviderError
from app.llm.provider import CallUsage, ChatRequest, KeyState, Provider, ProviderEvent


class LazyProvider:
    """Makes a provider in a thread when it is first needed; every later call has it at once."""

    def __init__(self, name: str, model: str, make: Callable[[], Provider]) -> None:
        self.name = name
        self.model = model
        self._make = make
        self._making: asyncio.Task[Provider] | None = None

    async def _made(self) -> Provider:
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        making = self._making
        try:
            # Whoever gives up waiting does not take it from those who still wait.
            return await asyncio.shield(making)
        except (OSError, ImportError) as error:
            if self._making is making:
                self._making = None  # to be tried again
            # Of a shared library it is told in words alone.
            if os.strerror(errno.EMFILE) in str(error) or os.strerror(errno.ENFILE) in str(error):
                raise ProviderError(
                    FailureKind.NO_DESCRIPTORS, "this process has too many open files"
                ) from error
            raise

    async def load(self) -> None:
        """Make the provider, if nobody has. Raises `ProviderError` where no file can be opened."""
        await self._made()

    async def stream(
        self, request: ChatRequest, call_usage: CallUsage
    ) -> AsyncGenerator[ProviderEvent]:
        """As the provider's own."""
        provider = await self._made()
        async with aclosing(provider.stream(request, call_usage)) as events:
            async for event in events:
                yield event

    async def check_key(self) -> KeyState:
        """As the provider's own."""
        try:
            provider = await self._made()
        except ProviderError:
            return KeyState.UNKNOWN
        return await provider.check_key()

    async def aclose(self) -> None:
        """Close the provider, if it was ever needed."""
        if self._making is not None:
            await (await self._made()).aclose()
