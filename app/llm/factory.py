"""The router, built from the settings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.llm.late_provider import LazyProvider
from app.llm.ledger import Ledger
from app.llm.llama_scout_client import LlamaScoutClient, RoutingOptions
from app.llm.openrouter import OpenRouterProvider
from app.llm.pricing import Price, PriceList
from app.llm.provider import Provider
from app.llm.timing import TimeLimits
from app.settings import Settings


@asynccontextmanager
async def open_client(
    settings: Settings, first: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[LlamaScoutClient]:
    """Open the router with the models whose keys are set; watch the keys, close at the end.

    Heavy imports run in the background, after `first` has ended: a model that is called
    before that loads its own.
    """
    prices = configured_prices(settings)
    ledger = Ledger(prices, settings.haiku_model, settings.daily_spending_limit_usd)
    client = LlamaScoutClient(
        _llama(settings),
        _haiku(settings),
        _routing_options(settings),
        ledger,
        force_haiku=settings.force_haiku,
    )

    async def load_and_watch() -> None:
        if first:
            await first()
        if client.llama or client.haiku:
            # The price table takes 0.3 s: neither before the start nor in the first answer.
            await asyncio.to_thread(prices.price, "anthropic", settings.haiku_model)
        await client.watch_keys()

    background = asyncio.create_task(load_and_watch())
    try:
        yield client
    finally:
        background.cancel()
        await asyncio.gather(background, return_exceptions=True)
        await client.aclose()


def _routing_options(settings: Settings) -> RoutingOptions:
    return RoutingOptions(
        limits=TimeLimits(
            first_content_s=settings.first_content_timeout_s,
            idle_s=settings.idle_timeout_s,
            total_s=settings.total_timeout_s,
        ),
        circuit_breaker=settings.circuit_breaker,
        continue_mid_answer=settings.mid_answer_failure == "continue",
        hedge_after_s=settings.hedge_after_ms / 1000,
        llama_context_tokens=settings.llama_context_tokens,
        haiku_context_tokens=settings.haiku_context_tokens,
    )


def _llama(settings: Settings) -> OpenRouterProvider | None:
    if settings.openrouter_api_key_llama is None:
        return None
    return OpenRouterProvider(
        settings.openrouter_api_key_llama,
        base_url=settings.openrouter_base_url,
        model=settings.llama_model,
        connect_timeout_s=settings.connect_timeout_s,
    )


def _haiku(settings: Settings) -> Provider | None:
    if settings.anthropic_api_key is None:
        return None
    key = settings.anthropic_api_key

    def make() -> Provider:
        # Importing the SDK takes 1.4 s: the check of the key begins it once the service listens.
        from app.llm.haiku import HaikuProvider

        return HaikuProvider(
            key,
            base_url=settings.anthropic_base_url,
            model=settings.haiku_model,
            connect_timeout_s=settings.connect_timeout_s,
        )

    return LazyProvider("anthropic", settings.haiku_model, make)


def configured_prices(settings: Settings) -> PriceList:
    """The price list with the prices that the settings give."""
    configured: dict[tuple[str, str], Price] = {}
    if settings.llama_price_input is not None and settings.llama_price_output is not None:
        configured["openrouter", settings.llama_model] = Price(
            settings.llama_price_input, settings.llama_price_output
        )
    if settings.haiku_price_input is not None and settings.haiku_price_output is not None:
        configured["anthropic", settings.haiku_model] = Price(
            settings.haiku_price_input, settings.haiku_price_output
        )
    return PriceList(configured)
