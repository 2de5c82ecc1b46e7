"""The files that are hard to read, and what a reader must find in each."""

import importlib.util
from types import ModuleType
from typing import Any

import pytest

from app.errors import DocumentRejected
from app.retrieval.preparation import prepare
from app.settings import ROOT
from tests.shared import documents

FOLDER = ROOT.parent / "shared/documents"


def _module(name: str) -> ModuleType | None:
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path) if path.exists() else None
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_FACTS = _module("facts")
FACTS: dict[str, dict[str, Any]] = _FACTS.FACTS if _FACTS else {}


@pytest.mark.parametrize("name", FACTS)
def test_a_hard_file_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    from check import judge  # type: ignore[import-not-found]

    content = documents(name).read_bytes()
    try:
        prepared = prepare(content, name)
    except DocumentRejected:
        faults = judge(name, "", False, ["refused"])
        assert faults == []
        return
    loaded = prepared.loaded
    text = loaded.text[loaded.body_start :]
    accepted = not prepared.findings.faults
    told = (loaded.title, loaded.language, loaded.effective_date)
    assert judge(name, text, accepted, prepared.warnings, *told) == []
    assert not [c.text for c in prepared.chunks if _is_heading_alone(c.text)]


def _is_heading_alone(text: str) -> bool:
    return all(line.startswith("#") for line in text.split("\n") if line.strip())
