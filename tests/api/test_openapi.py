"""The service's description of itself, and the client that is made from it."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from app.api.openapi import EVENTS
from app.main import create_app
from app.settings import Settings
from tests.conftest import Serving
from tests.node import CLIENTS, MODULES, NODE
from tests.service import stream_chat
from tests.upstream import Upstream, Wire, haiku_calls, haiku_says, llama_chunk

DESCRIBED = create_app(Settings(_env_file=None)).openapi()
NO_KEYS = {"openrouter_api_key_llama": None, "anthropic_api_key": None}


def operations() -> list[tuple[str, str, Any]]:
    return [
        (method, path, operation)
        for path, methods in DESCRIBED["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_field_and_parameter_is_described() -> None:
    schemas = DESCRIBED["components"]["schemas"].items()
    silent = [
        f"{name}.{field}"
        for name, schema in schemas
        for field, described in schema.get("properties", {}).items()
        if not described.get("description")
    ]
    silent += [
        f"{path} {parameter['name']}"
        for _, path, operation in operations()
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]

    assert not silent


def examples() -> list[tuple[str, str, str, Any]]:
    return [
        (method, path, name, example["value"])
        for method, path, operation in operations()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for name, example in content.get("examples", {}).items()
    ]


async def test_every_example_runs(serving: Serving) -> None:
    async with serving(**NO_KEYS) as client:
        for method, path, name, body in examples():
            response = await client.request(method, path, json=body)

            documented = DESCRIBED["paths"][path][method]["responses"]["200"]["content"]
            assert response.status_code == 200, (path, name, response.text)
            assert response.headers["content-type"].partition(";")[0] in documented, (path, name)
            assert len(response.content) > 100, (path, name)


def test_every_body_in_json_has_an_example() -> None:
    without = [
        path
        for _, path, operation in operations()
        if not operation.get("requestBody", {}).get("content", {}).get("application/json", {
            "examples": True
        }).get("examples")
    ]  # fmt: skip

    assert not without


async def test_a_streams_events_are_of_the_documented_form(
    upstream: Upstream, serving: Serving
) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.head()
        await wire.event(llama_chunk("Oltre 10 "))
        wire.reset()

    upstream.haiku(
        haiku_calls(("toolu_1", "get_service_prices", {"query": "PT PMA"})), haiku_says("Ecco.")
    )
    upstream.llama(breaks_off)
    async with serving(mid_answer_failure="error") as client:
        events = await stream_chat(client, message="Quanto costa una PT PMA?", tools=True)
        events += await stream_chat(client, message="Quanto capitale serve per una PT PMA?")

    assert {event.name for event in events} == set(EVENTS)
    for event in events:
        model = EVENTS[event.name]
        form: TypeAdapter[Any] = TypeAdapter(
            list[model] if event.name == "sources" else model  # type: ignore[valid-type]
        )
        form.validate_json(json.dumps(event.data), extra="forbid")


async def test_failures_are_of_the_documented_form(serving: Serving) -> None:
    schemas = DESCRIBED["components"]["schemas"]
    async with serving(**NO_KEYS) as client:
        answers = [
            await client.post("/chat", json={}),
            await client.post("/v1/chat/completions", json={}),
            await client.get("/documents/niente"),
        ]

    for answer, name in zip(answers, ["Problem", "OpenAIError", "Problem"], strict=True):
        assert set(answer.json()) <= set(schemas[name]["properties"])
        assert set(schemas[name]["required"]) <= set(answer.json())


async def node(*command: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        NODE,
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(300):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_a_typed_client_is_made_compiles_and_gets_its_answers(
    tmp_path: Path, serving: Serving
) -> None:
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(CLIENTS / "typed_client.ts", tmp_path)
    generator = MODULES / "openapi-typescript" / "bin" / "cli.js"
    compiler = MODULES / "typescript" / "bin" / "tsc"
    async with serving(**NO_KEYS) as client:
        (tmp_path / "openapi.json").write_bytes((await client.get("/openapi.json")).content)
        await node(
            str(generator), "openapi.json", "-o", "schema.d.ts", "--default-non-nullable=false",
            folder=tmp_path,
        )  # fmt: skip
        await node(
            str(compiler), "--noEmit", "--strict", "--target", "es2024", "--module", "nodenext",
            "--allowImportingTsExtensions", "typed_client.ts",
            folder=tmp_path,
        )  # fmt: skip
        said = json.loads(await node("typed_client.ts", str(client.base_url), folder=tmp_path))

    assert said["ai"] == "extractive"
    assert said["cited"][0] == 1
    assert said["title"]
    assert said["refused"] == 404
