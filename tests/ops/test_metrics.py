import re
import socket

import httpx

from tests.conftest import Serving
from tests.upstream import Upstream, haiku_says, llama_says, status


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_what_prometheus_reads_is_what_the_ledger_holds(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Uno."), status(500))
    upstream.haiku(haiku_says("Due."))
    port = free_port()
    async with serving(metrics_port=port) as client, httpx.AsyncClient() as scraper:
        for _ in range(2):
            await client.post("/chat", json={"message": "Quanto capitale per una PT PMA?"})
        scraped = (await scraper.get(f"http://127.0.0.1:{port}/metrics")).text
        measured = (await client.get("/health")).json()["measured"]
        public = await client.get("/metrics")

    figures = dict(re.findall(r"^(\S+) (\S+)$", scraped, re.MULTILINE))
    assert float(figures['zantara_calls_total{ai="llama-scout",outcome="success"}']) == 1
    assert float(figures['zantara_calls_total{ai="llama-scout",outcome="server"}']) == 1
    assert float(figures['zantara_calls_total{ai="haiku",outcome="success"}']) == 1
    assert float(figures["zantara_turns_total"]) == 2
    assert float(figures["zantara_fallbacks_total"]) == measured["haiku_fallbacks"] == 1
    assert round(float(figures["zantara_cost_usd_total"]), 6) == measured["cost_usd"] > 0
    assert round(float(figures["zantara_saved_usd"]), 6) == measured["saved_usd"]
    assert float(figures['zantara_circuit_open{ai="haiku"}']) == 0
    assert public.status_code == 404
