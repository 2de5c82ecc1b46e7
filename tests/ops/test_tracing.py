"""Traces as a collector receives them: a real service process, OTLP over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from app.chat.service import Search
from app.llm.ledger import CANCELLED
from app.ops import tracing
from tests.ops.test_spending import entry
from tests.service import stream_chat
from tests.test_cli import ZANTARA, environment, free_port, run, served
from tests.upstream import Upstream, haiku_says, llama_says, status

QUESTION = "Quanto capitale per una PT PMA?"


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[Span]]]:
    """An OTLP receiver over HTTP; yields its URL and the spans it was sent."""
    spans: list[Span] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                assert head.startswith(b"POST /v1/traces ")
                lines = head.decode().lower().split("\r\n")
                length = next(line for line in lines if line.startswith("content-length: "))
                body = await reader.readexactly(int(length.partition(": ")[2]))
                message = ExportTraceServiceRequest.FromString(body)
                for resource in message.resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", spans


def attributes(span: Span) -> dict[str, Any]:
    """The span's attributes as Python values."""
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value")
        for item in span.attributes
    }


async def test_one_span_a_request_with_the_search_and_each_attempt_inside(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(status(500), llama_says("Dieci miliardi."))
    upstream.haiku(haiku_says("Dieci miliardi."))
    port = free_port()
    async with collector() as (endpoint, spans):
        env = environment(data_dir, upstream, PORT=str(port), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        command = (ZANTARA, "serve")
        async with served(*command, port=port, env=env, cwd=tmp_path, log=tmp_path / "log") as (
            client,
            _,
        ):
            response = await client.post("/chat", json={"message": QUESTION})
            await stream_chat(client, message=QUESTION)

    fallen_back, streamed = (span for span in spans if not span.parent_span_id)
    for request in (fallen_back, streamed):
        assert request.name == "POST /chat"
        assert request.kind == Span.SPAN_KIND_SERVER
        assert attributes(request)["http.response.status_code"] == 200
    retrieval, llama, haiku = (s for s in spans if s.parent_span_id == fallen_back.span_id)
    assert retrieval.name == "retrieval"
    assert attributes(retrieval)["zantara.passages"] > 0
    assert llama.name == "chat meta-llama/llama-4-scout"
    assert llama.kind == Span.SPAN_KIND_CLIENT
    assert llama.status.code == Status.STATUS_CODE_ERROR
    assert attributes(llama)["error.type"] == "server"
    assert haiku.name == "chat claude-haiku-4-5"
    assert haiku.status.code == Status.STATUS_CODE_UNSET
    assert attributes(haiku)["gen_ai.provider.name"] == "anthropic"
    assert attributes(haiku)["zantara.fallback_reason"] == "server"
    assert attributes(haiku)["gen_ai.usage.input_tokens"] == 600
    assert attributes(haiku)["gen_ai.response.time_to_first_chunk"] > 0
    assert fallen_back.start_time_unix_nano <= llama.start_time_unix_nano
    assert llama.end_time_unix_nano <= haiku.end_time_unix_nano <= fallen_back.end_time_unix_nano

    inside = [span.name for span in spans if span.parent_span_id == streamed.span_id]
    assert inside == ["retrieval", "chat meta-llama/llama-4-scout"]
    assert response.status_code == 200
    told = str(spans)
    assert "capital" not in told
    assert "miliardi" not in told
    assert "planted" not in told


def test_a_search_by_words_alone_is_an_error_and_a_client_that_left_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    tracing.trace_search(Search(duration_s=0.1, passages=3, degraded=True))
    tracing.trace_call(entry(outcome=CANCELLED))

    search, call = exporter.get_finished_spans()
    assert search.attributes
    assert search.attributes["zantara.degraded"] is True
    assert search.status.status_code is StatusCode.ERROR
    assert call.attributes
    assert "error.type" not in call.attributes
    assert call.status.status_code is StatusCode.UNSET


async def test_a_collector_that_is_down_costs_no_answer_and_a_clean_end(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Dieci miliardi."))
    port = free_port()
    nobody = f"http://127.0.0.1:{free_port()}"
    env = environment(data_dir, upstream, PORT=str(port), OTEL_EXPORTER_OTLP_ENDPOINT=nobody)
    log = tmp_path / "log"
    async with served(ZANTARA, "serve", port=port, env=env, cwd=tmp_path, log=log) as (client, _):
        response = await client.post("/chat", json={"message": QUESTION})

    assert response.json()["answer"] == "Dieci miliardi."


async def test_without_a_collector_nothing_of_the_sdk_is_imported(tmp_path: Path) -> None:
    check = (
        "import sys, app.main; "
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'prometheus'))])"
    )
    python = str(Path(ZANTARA).with_name("python"))
    code, out, err = await run(python, "-c", check, env=environment(tmp_path), cwd=tmp_path)

    assert (code, out.strip()) == (0, "[]"), err
