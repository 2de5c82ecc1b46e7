"""The README's transcripts are what the service says."""

import json
import re
import subprocess
from typing import Any

from app.settings import ROOT
from tests.conftest import Serving

README = (ROOT / "README.md").read_text()


def transcript(command: str) -> Any:
    """The JSON that the README shows below a command."""
    match = re.search(rf"\$ {re.escape(command)}.*?\n(\{{\n.*?\n\}})\n```", README, re.DOTALL)
    assert match, f"the README has no transcript of: {command}"
    return json.loads(match[1])


async def test_the_transcripts_are_real(serving: Serving) -> None:
    shown = transcript("curl -s localhost:8080/chat")
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
    assert transcript("curl -s localhost:8080/health") == health["features"]["ai"]


def test_the_commands_that_it_names_exist() -> None:
    first, second = re.findall(r"^make (\w+)", README, re.MULTILINE)[:2]
    assert (first, second) == ("run", "test")
    targets = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    for target in ("run", "test", "check"):
        assert re.search(rf"^{target}\b", targets.stdout, re.MULTILINE)
