"""Every setting of the service, read from the environment and `.env`.

The values are documented, one by one, in `.env.example`.
"""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import ConfigurationError
from app.net import Networks

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the bundled knowledge lies beside `app/`."""


def _http_url(value: str) -> str:
    value = value.strip()
    TypeAdapter(AnyHttpUrl).validate_python(value)
    return value.rstrip("/")


def _model_url(value: str) -> str:
    parts = urlsplit(value)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected no user before the host, no ? and no #: a path is put behind it")
    if not all(0 < len(label) < 64 for label in (parts.hostname or "").rstrip(".").split(".")):
        raise ValueError("expected a host whose parts have 1 to 63 characters")
    return value


def _key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not key:
        raise ValueError("is blank; unset it or set it to a key")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("expected one line of printable ASCII without spaces")
    return SecretStr(key)


def _redis_url(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"rediss?://\S+", value.get_secret_value()):
        raise ValueError("expected redis://:PASSWORD@HOST:PORT/0, or rediss:// with TLS")
    return value


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _caller_keys(value: SecretStr) -> SecretStr:
    entries = [entry.strip() for entry in value.get_secret_value().split(",")]
    for n, entry in enumerate(entries, 1):
        if entry.startswith("sha256:"):
            if not re.fullmatch("sha256:[0-9a-f]{64}", entry):
                raise ValueError(f"entry {n}: expected 64 hexadecimal digits after sha256:")
        elif not re.fullmatch("[!-~]{20,200}", entry):
            raise ValueError(f"entry {n}: expected 20 to 200 printable ASCII characters, no spaces")
    return SecretStr(",".join(entries))


ApiKey = Annotated[SecretStr, AfterValidator(_key)]
CallerKeys = Annotated[SecretStr, AfterValidator(_caller_keys)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
ModelUrl = Annotated[HttpUrl, AfterValidator(_model_url)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
PerMinute = Annotated[int, Field(ge=1)]
Dollars = Annotated[float, Field(ge=0, le=1000)]


class Settings(BaseSettings):
    """The service's configuration. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    openrouter_api_key_llama: ApiKey | None = None
    anthropic_api_key: ApiKey | None = None
    openrouter_base_url: ModelUrl = "https://openrouter.ai/api/v1"
    anthropic_base_url: ModelUrl = "https://api.anthropic.com"
    llama_model: str = "meta-llama/llama-4-scout"
    haiku_model: str = "claude-haiku-4-5"
    force_haiku: bool = False
    extractive_fallback: bool = True
    circuit_breaker: bool = True
    question_rewriting: bool = True
    mid_answer_failure: Literal["continue", "error"] = "continue"

    hedge_after_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    llama_context_tokens: Annotated[int, Field(ge=4096)] = 131_072
    haiku_context_tokens: Annotated[int, Field(ge=4096)] = 200_000
    llama_passage_tokens: Annotated[int, Field(ge=250)] = 8_000
    haiku_passage_tokens: Annotated[int, Field(ge=250)] = 2_500

    data_dir: Path = Path("data")
    knowledge_dir: Path = ROOT / "knowledge"
    embeddings_url: HttpUrl | None = None
    embeddings_model: str | None = None
    embeddings_dimensions: Annotated[int, Field(ge=2, le=4096)] | None = None
    embeddings_api_key: ApiKey | None = None

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    api_keys: CallerKeys | None = None
    allow_no_keys: bool = False
    cors_origins: str = ""
    trusted_proxies: str = ""
    file_hosts: str = ""
    requests_per_minute_per_key: PerMinute = 600
    requests_per_minute_per_address: PerMinute = 120
    tokens_per_minute_per_key: PerMinute = 2_000_000
    tokens_per_minute_per_address: PerMinute = 400_000
    redis_url: RedisUrl | None = None
    concurrent_requests_per_key: Annotated[int, Field(ge=1)] = 128
    concurrent_requests_per_address: Annotated[int, Field(ge=1)] = 32
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    max_concurrent_requests: Annotated[int, Field(ge=1)] = 1024
    max_upload_bytes: Annotated[int, Field(ge=1, le=20 * 1024**2)] = 20 * 1024**2
    log_format: Literal["json", "console"] = "console"

    # The guide measures Llama's first token at 720 to 1100 ms: six seconds is
    # more than five times its slowest class, and still a wait a person sits through.
    # `.env.example` explains each to whoever sets it.
    connect_timeout_s: Seconds = 2.0
    first_content_timeout_s: Seconds = 6.0
    idle_timeout_s: Seconds = 10.0
    total_timeout_s: Seconds = 120.0
    # Llama's first token after some 0.8 s, and a hundred and fifty more.
    rewriting_timeout_s: Seconds = 2.5

    daily_spending_limit_usd: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    llama_price_input: Dollars | None = None
    llama_price_output: Dollars | None = None
    haiku_price_input: Dollars | None = None
    haiku_price_output: Dollars | None = None

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in _parts(value):
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", origin):
                raise ValueError(f"{origin:.100}: expected an origin such as https://example.org")
        return value

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins of `cors_origins`."""
        return _parts(self.cors_origins)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for part in _parts(value):
            ip_network(part)
        return value

    @property
    def trusted_networks(self) -> Networks:
        """The networks of `trusted_proxies`."""
        return tuple(ip_network(part) for part in _parts(self.trusted_proxies))

    @field_validator("file_hosts")
    @classmethod
    def _host_names(cls, value: str) -> str:
        for host in _parts(value):
            # No number at its end, so that no IP address in any writing passes for a name.
            if not re.fullmatch(r"([a-z0-9-]+\.)*[a-z][a-z0-9-]*(:\d+)?", host):
                raise ValueError(f"{host:.100}: expected a host's name such as files.example.org")
        return value

    @property
    def listed_file_hosts(self) -> tuple[str, ...]:
        """The hosts of `file_hosts`."""
        return _parts(self.file_hosts)

    @model_validator(mode="after")
    def _whole_embedder(self) -> Self:
        if self.embeddings_url and not (self.embeddings_model and self.embeddings_dimensions):
            raise ValueError(
                "EMBEDDINGS_URL needs EMBEDDINGS_MODEL and EMBEDDINGS_DIMENSIONS beside it"
            )
        return self

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.metrics_port == self.port:
            raise ValueError("METRICS_PORT and PORT are the same; name another for one of them")
        return self


class _Removed(BaseSettings):
    """Settings of earlier versions: a service that is given one does not start."""

    model_config = Settings.model_config

    chroma_url: str | None = None


def load_settings() -> Settings:
    """Read the settings. Raises `ConfigurationError` with one line that names what is wrong."""
    if _Removed().chroma_url:
        raise ConfigurationError(
            "CHROMA_URL is gone, since documents were lost on their way between machines: unset it "
            "and run one machine (docs/adr/009); PostgreSQL will serve several"
        )
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(f"wrong configuration: {problems}; see .env.example") from None
