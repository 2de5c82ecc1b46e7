"""The rows that break before a call reaches the model's API."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from app.errors import FailureKind
from app.llm.factory import open_client
from app.llm.ledger import CallRecord
from tests.faults.conftest import noting, outcomes
from tests.faults.matrix import MATRIX, Fault
from tests.faults.network import broken
from tests.faults.replies import (
    EXTRACTS,
    FALLS_BACK,
    HAIKU_SAYS,
    HAIKU_SUCCEEDS,
    LLAMA_STARTS,
    MARGIN_S,
    ask,
    fails,
    told,
)
from tests.service import running_inside, settings_for, until_ready
from tests.upstream import Upstream, haiku_says, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAULTS = [pytest.param(f, id=f"{f.row}-{f.name}") for f in MATRIX if f.network is not None]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """One that the service trusts, so that a certificate fails for its own reason."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("whose", ["llama", "haiku"])
async def test_the_way_to_a_model_is_broken(
    whose: str, fault: Fault, upstream: Upstream, authority: trustme.CA, data_dir: Path
) -> None:
    assert fault.network is not None
    assert fault.kind is not None
    async with broken(fault.network, authority) as url:
        values: dict[str, Any] = {**upstream.settings, **fault.limits}
        values["circuit_breaker"] = False
        values["openrouter_base_url" if whose == "llama" else "anthropic_base_url"] = url
        async with running_inside(settings_for(data_dir, **values)) as (http, client):
            await until_ready(http)
            for streamed in (True, False):
                entries: list[CallRecord] = []
                if whose == "llama":
                    upstream.haiku(haiku_says(*HAIKU_SAYS))
                else:
                    upstream.llama(status(500))
                with capture_logs() as logs, pytest.MonkeyPatch.context() as patch:
                    patch.setattr(client.ledger, "record", noting(client.ledger, entries))
                    patch.setattr("random.uniform", lambda least, _: least / 10)
                    reply = await ask(http, streamed=streamed)

                assert reply.status == 200
                assert reply.seconds < fault.until_s + MARGIN_S
                assert reply.names == ["sources", "route", "delta", "done"] * streamed
                assert reply.body["fallback_reason"] == fault.kind
                if whose == "llama":
                    assert (reply.body["ai_used"], reply.text) == ("haiku", "".join(HAIKU_SAYS))
                    assert outcomes(entries) == Counter(
                        {("llama-scout", fault.kind): 1, ("haiku", "success"): 1}
                    )
                    assert told(logs) == [
                        ("info", LLAMA_STARTS),
                        fails("Llama Scout", fault.kind),
                        ("warning", FALLS_BACK),
                        ("info", HAIKU_SUCCEEDS),
                    ]
                else:
                    tries = 2 if fault.asked_again else 1
                    assert reply.body["ai_used"] == "extractive"
                    assert outcomes(entries) == Counter(
                        {("llama-scout", "server"): 1, ("haiku", fault.kind): tries}
                    )
                    assert told(logs)[3:] == [fails("Haiku", fault.kind)] * tries + [
                        ("warning", EXTRACTS)
                    ]
                if fault.kind is not FailureKind.TIMEOUT_FIRST_CONTENT:
                    # What never reached a model costs nothing.
                    assert not [e for e in entries if e.outcome == fault.kind and e.cost_usd]


async def test_a_certificate_that_is_good_is_accepted(authority: trustme.CA) -> None:
    """Or the rows above would prove nothing."""
    async with broken("good", authority) as url:
        settings = settings_for(
            Path("unused"), openrouter_base_url=url, openrouter_api_key_llama="sk-or-v1-planted"
        )
        async with open_client(settings) as client:
            assert client.llama is not None
            assert await client.llama.provider.check_key() == "valid"
