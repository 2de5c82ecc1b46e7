"""A provider whose code takes long to load: loaded after the start, not before it."""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Callable

from app.errors import FailureKind, ProviderError
from app.llm.provider import CallUsage, ChatRequest, KeyState, Provider, ProviderEvent


class LazyProvider:
    """Make a provider in a thread when it is first needed; later calls have it at once."""

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
            # A caller that is cancelled does not cancel the load for the others.
            return await asyncio.shield(making)
        except (OSError, ImportError) as error:
            if self._making is making:
                self._making = None  # to be tried again
            # For a shared library the error has no number, only a text.
            if os.strerror(errno.EMFILE) in str(error) or os.strerror(errno.ENFILE) in str(error):
                raise ProviderError(
                    FailureKind.NO_DESCRIPTORS, "this process has too many open files"
                ) from error
            raise

    async def load(self) -> None:
        """Make the provider, once. Raises `ProviderError` where no file can be opened."""
        await self._made()

    def stream(self, request: ChatRequest, call_usage: CallUsage) -> AsyncGenerator[ProviderEvent]:
        """Stream from the provider, which `load` has made."""
        assert self._making is not None, "load comes first"
        return self._making.result().stream(request, call_usage)

    async def check_key(self) -> KeyState:
        """Ask the provider; UNKNOWN where it cannot be loaded."""
        try:
            provider = await self._made()
        except ProviderError:
            return KeyState.UNKNOWN
        return await provider.check_key()

    async def aclose(self) -> None:
        """Close the provider, if it was ever needed."""
        if self._making is not None:
            await (await self._made()).aclose()
