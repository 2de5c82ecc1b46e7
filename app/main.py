"""The application, which `zantara serve` serves."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from secrets import token_hex
from typing import Final

import structlog
from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import Receive, Scope, Send

from app import __version__
from app.access.keyring import Keyring, open_keyring
from app.access.rates import open_rates
from app.access.under_way import UnderWay
from app.api import (
    ai_sdk,
    chat,
    console,
    conversations,
    documents,
    health,
    openai_compat,
    pages,
    search,
)
from app.api.access_log import AccessLogMiddleware
from app.api.admission import ALWAYS_SERVED, Admission, AdmissionMiddleware
from app.api.authentication import AuthenticationMiddleware
from app.api.body_limit import BodyLimitMiddleware
from app.api.deps import Resources
from app.api.errors import add_error_handlers
from app.api.giving_way import GivingWay
from app.api.headers import CorsMiddleware, SecurityHeadersMiddleware
from app.api.openapi import DescribedFastAPI, operation_id
from app.api.rate_limits import RateLimitMiddleware
from app.api.startup_errors import StartupErrorMiddleware
from app.chat.conversations import Conversations
from app.chat.service import ChatService
from app.errors import ConfigurationError
from app.llm.factory import open_client
from app.media.decoder import Decoder
from app.net import is_loopback
from app.ops.descriptors import requests_allowed
from app.ops.housekeeping import Chore, in_thread, keeping_house
from app.ops.logging import configure_logging
from app.ops.recent_calls import RecentCalls
from app.ops.spending import purge, recording
from app.ops.tracing import trace_call, trace_search
from app.retrieval.knowledge_base import KnowledgeBase
from app.server import OWN_SERVER_ALONE, require_own_server
from app.settings import Settings, load_settings

logger = structlog.get_logger(__name__)

ERASE_EVERY_S = 15.0
"""A deleted document is gone from the disk within a minute."""
PURGE_EVERY_S = 3600.0
HEAD_START_S = 3.0
"""How long the index has the processors to itself before a model's SDK is loaded beside it."""

_TRACES_ALONE: Final[TelemetryConfig] = {
    # Where OTEL_EXPORTER_OTLP_ENDPOINT says, and nowhere when it is not set.
    "auto_configure": True,
    "operation_spans": False,
    "exclude": lambda scope: scope["path"] in ALWAYS_SERVED,
    # What is measured is Prometheus's to fetch (app/ops/metrics.py); logs go to standard error.
    "metrics": False,
    "logs": False,
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service.

    Args:
        settings: Read from the environment where they are not given.

    Raises:
        ConfigurationError: A setting of the environment is wrong.
    """
    used = settings or load_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Resources]:
        configure_logging(used.log_format)
        require_own_server(app)
        async with AsyncExitStack() as stack:
            knowledge_base = await stack.enter_async_context(KnowledgeBase.open(used))
            keyring = await stack.enter_async_context(open_keyring(used))
            _check_exposure(used, keyring)
            client = await stack.enter_async_context(
                open_client(used, partial(knowledge_base.wait_warm, HEAD_START_S))
            )
            chat_service = ChatService(knowledge_base, client, used)
            chat_service.search_listeners.append(trace_search)
            client.ledger.listeners.append(trace_call)
            stack.enter_context(recording(used.data_dir, client.ledger))
            kept = Conversations(used.data_dir)
            chores = _chores(used, knowledge_base, kept)
            await stack.enter_async_context(keeping_house(*chores))
            recent_calls = RecentCalls()
            client.ledger.listeners.append(recent_calls.add)
            if used.metrics_port is not None:
                from app.ops.metrics import exporting  # late: not needed where none is scraped

                stack.enter_context(
                    exporting(used.host, used.metrics_port, client, knowledge_base, chat_service)
                )
            admission = Admission(requests_allowed(used.max_concurrent_requests))
            yield Resources(
                chat=chat_service,
                conversations=kept,
                client=client,
                knowledge_base=knowledge_base,
                admission=admission,
                giving_way=GivingWay(admission),
                keyring=keyring,
                allow_no_keys=used.allow_no_keys,
                cors_origins=used.allowed_origins,
                rates=await stack.enter_async_context(open_rates(used)),
                under_way=UnderWay(used),
                trusted_proxies=used.trusted_networks,
                file_hosts=used.listed_file_hosts,
                decoder=stack.enter_context(closing(Decoder())),
                max_upload_bytes=used.max_upload_bytes,
                data_dir=used.data_dir,
                recent_calls=recent_calls,
                started=time.monotonic(),
            )

    app = DescribedFastAPI(
        generate_unique_id_function=operation_id,
        title="ZANTARA",
        version=__version__,
        summary="Answers on doing business in Indonesia, with sources.",
        lifespan=lifespan,
        telemetry=_TRACES_ALONE,
        # A redirect would take its host from the caller's header.
        redirect_slashes=False,
        # Their scripts come from another host; the description itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
    )
    # The last one added is the outermost.
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(AdmissionMiddleware)
    app.add_middleware(RateLimitMiddleware)
    app.add_middleware(AuthenticationMiddleware)
    app.add_middleware(CorsMiddleware, origins=used.allowed_origins)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(AccessLogMiddleware)
    app.add_middleware(
        CorrelationIdMiddleware, update_request_header=False, generator=partial(token_hex, 16)
    )
    app.add_middleware(StartupErrorMiddleware)
    add_error_handlers(app)
    app.include_router(chat.router)
    app.include_router(openai_compat.router)
    app.include_router(ai_sdk.router)
    app.include_router(conversations.router)
    app.include_router(search.router)
    app.include_router(documents.router)
    app.include_router(health.router)
    app.include_router(pages.router)
    app.include_router(console.page_router)
    app.include_router(console.router)
    app.mount("/static", pages.PageFiles())
    return app


def _chores(
    settings: Settings, knowledge_base: KnowledgeBase, conversations: Conversations
) -> list[Chore]:
    old_spending = partial(purge, settings.data_dir)
    return [
        Chore("deleted documents are not erased", ERASE_EVERY_S, knowledge_base.erase_remains),
        Chore("old conversations are not purged", PURGE_EVERY_S, in_thread(conversations.purge)),
        Chore("old spending is not purged", PURGE_EVERY_S, in_thread(old_spending)),
    ]


def _check_exposure(settings: Settings, keyring: Keyring) -> None:
    """Raises `ConfigurationError` where strangers would be answered and nobody said so."""
    if not keyring.empty:
        return
    if settings.allow_no_keys:
        logger.warning("🔓 ALLOW_NO_KEYS: whoever reaches this service may chat at your expense")
        return
    if not is_loopback(settings.host):
        raise ConfigurationError(
            f"HOST {settings.host} is a public address and there are no keys: set API_KEYS, or "
            "`zantara keys create NAME`; ALLOW_NO_KEYS=true answers everybody"
        )
    logger.warning("🔒 no keys are set: only this machine is answered (zantara keys create NAME)")


async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
    """Say why the service does not start, to a server that is given this name."""
    await send({"type": "lifespan.startup.failed", "message": OWN_SERVER_ALONE})
