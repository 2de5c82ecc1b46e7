"""What the README and the pages below docs/ show is what the service returns."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.retrieval import front_matter
from app.settings import ROOT
from scripts.settings_table import with_table
from tests.conftest import Serving

README = (ROOT / "README.md").read_text()
DOCUMENTS = (ROOT / "docs" / "documents.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()


def transcript(page: str, command: str) -> Any:
    """Return the JSON that the page shows below a command."""
    match = re.search(rf"\$ {re.escape(command)}.*?\n(\{{\n.*?\n\}})\n(?:```|\$)", page, re.DOTALL)
    assert match, f"no transcript of: {command}"
    return json.loads(match[1])


async def test_the_transcripts_are_real(serving: Serving) -> None:
    shown = transcript(README, "curl -s localhost:8080/chat")
    question = re.search(r"-d '(\{.*?\})'", README)
    assert question
    async with serving(openrouter_api_key_llama=None, anthropic_api_key=None) as client:
        answer = (await client.post("/chat", json=json.loads(question[1]))).json()
        health = (await client.get("/health")).json()

    length = re.search(r"\.answer\[0:(\d+)\]", README)
    assert length
    assert shown["answer"] == answer["answer"][: int(length[1])]
    assert shown["ai_used"] == answer["ai_used"]
    assert shown["degraded"] == answer["degraded"]
    assert shown["sources"] == [
        {name: source[name] for name in ("n", "document_id", "section")}
        for source in answer["sources"][:3]
    ]
    assert transcript(README, "curl -s localhost:8080/health") == health["features"]["ai"]


async def test_one_s_own_documents_are_indexed_as_shown(serving: Serving, data_dir: Path) -> None:
    content = re.search(r"printf '(.*?)' > visto-x99.md", DOCUMENTS)
    assert content
    (data_dir / "visto-x99.md").write_text(content[1].replace("\\n", "\n"))
    command = [str(Path(sys.executable).with_name("zantara")), "ingest", "visto-x99.md"]
    env = {**os.environ, "DATA_DIR": "."}
    ingested = await asyncio.to_thread(
        subprocess.run, command, cwd=data_dir, env=env, capture_output=True, text=True
    )
    assert not Path("chroma").exists(), "the index is where DATA_DIR says"
    assert f"$ .venv/bin/zantara ingest visto-x99.md\n{ingested.stdout}" in DOCUMENTS

    shown = transcript(DOCUMENTS, "curl -s localhost:8080/documents")
    found = transcript(DOCUMENTS, "curl -s localhost:8080/search")
    query = re.search(r"-d '(\{\"query.*?\})'", DOCUMENTS)
    assert query
    async with serving() as client:
        with (data_dir / "visto-x99.md").open("rb") as file:
            sent = await client.post(
                "/documents",
                files={"file": file},
                data={"collection": "visti", "force": "true"},
            )
        searched = await client.post("/search", json=json.loads(query[1]))
    assert shown == {name: sent.json()[name] for name in shown}
    passage = searched.json()["passages"][0]
    assert found == {name: passage[name] for name in found}


def test_the_front_matter_that_it_shows_is_read() -> None:
    block = re.search(r"```yaml\n(---\n.*?---\n)```", DOCUMENTS, re.DOTALL)
    assert block
    read = front_matter.read(block[1])
    assert (read.language, read.effective_date, read.supersedes) == (
        "en",
        "2026-01-01",
        "visas-2024",
    )


def test_the_commands_that_it_names_exist() -> None:
    first, second = re.findall(r"^make (\w+)", README, re.MULTILINE)[:2]
    assert (first, second) == ("run", "test")
    targets = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    for target in ("run", "test", "check"):
        assert re.search(rf"^{target}\b", targets.stdout, re.MULTILINE)


def test_the_readme_fits_on_three_screens() -> None:
    assert len(README.splitlines()) < 150


def test_every_page_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert "docs/api.md" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_table_of_settings_is_current() -> None:
    assert with_table(SETTINGS) == SETTINGS, "run: python -m scripts.settings_table"
    assert "| `FORCE_HAIKU` | `false` | `true`, `false` | Use Haiku alone" in SETTINGS
    meanings = [line.split(" | ")[3] for line in SETTINGS.splitlines() if line.startswith("| `")]
    assert len(meanings) == len(set(meanings)), "each meaning once"
