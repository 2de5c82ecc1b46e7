"""The models that a turn may call: which are set up, in which order, and their keys."""

import asyncio
from dataclasses import dataclass
from typing import Literal

import structlog

from app.errors import FailureKind, ProviderError
from app.events import AiName
from app.llm.circuit import Circuit
from app.llm.provider import ChatRequest, KeyState, Provider

logger = structlog.stdlib.get_logger(__name__)

ModelChoice = Literal["auto", "llama-scout", "haiku"]

KEY_RECHECK_S = 30.0
_BAD_KEY = (KeyState.REJECTED, KeyState.OUT_OF_CREDIT)


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """One of the two models, with its provider and circuit."""

    ai: AiName
    provider: Provider
    circuit: Circuit
    context_tokens: int
    """Its window: prompt and answer together."""

    def too_long(self, request: ChatRequest) -> ProviderError | None:
        """Return the refusal of a request that exceeds the window, None where it fits."""
        excess = request.estimated_tokens - self.context_tokens
        if excess <= 0:
            return None
        return ProviderError(
            FailureKind.CONTEXT_LENGTH,
            f"the conversation is about {excess} tokens over the window of {self.ai}, "
            f"{self.context_tokens} tokens",
        )


@dataclass(frozen=True, slots=True)
class Targets:
    """The two models; either may be missing."""

    llama: ModelTarget | None
    haiku: ModelTarget | None
    force_haiku: bool = False
    """Whether Llama is never called."""

    def is_available(self) -> bool:
        """Whether any model could be called now, by what is known of the keys."""
        return any(target.circuit.key_state not in _BAD_KEY for target in self._usable())

    def plan(self, model: ModelChoice, *, has_tools: bool) -> tuple[list[ModelTarget], str | None]:
        """Return the models to try, in order, and why the first is not the requested one."""
        usable = self._usable()
        if model == "haiku":
            if self.haiku:
                return [self.haiku], None
            return usable, "haiku_not_configured" if usable else None
        if self.llama is None:
            return usable, "llama_not_configured"
        if self.force_haiku:
            return usable, "force_haiku"
        if has_tools and self.haiku:
            return [self.haiku], "tool_calling"
        return usable, None

    async def watch_keys(self) -> None:
        """Check the keys, and check those again that are not known to be valid; never returns."""
        asked = self._configured()
        while True:
            # Both at once: the first check of Haiku's also loads its SDK.
            checks = await asyncio.gather(*map(_check_key, asked), return_exceptions=True)
            for target, error in zip(asked, checks, strict=True):
                if error is not None:  # a bug of ours; the other key is watched all the same
                    logger.error("a key could not be checked", ai=target.ai, exc_info=error)
            await asyncio.sleep(KEY_RECHECK_S)
            asked = [t for t in self._configured() if t.circuit.key_state is not KeyState.VALID]

    async def aclose(self) -> None:
        """Close both providers' connections."""
        for target in self._configured():
            await target.provider.aclose()

    def _configured(self) -> list[ModelTarget]:
        return [target for target in (self.llama, self.haiku) if target]

    def _usable(self) -> list[ModelTarget]:
        return [t for t in self._configured() if t is not self.llama or not self.force_haiku]


async def _check_key(target: ModelTarget) -> None:
    before = target.circuit.key_state
    target.circuit.key_checked(await target.provider.check_key())
    known = target.circuit.key_state
    if known is not before and known in _BAD_KEY:
        logger.warning(f"🔑 The key of {target.ai} is not usable", key=known)
