"""Row 26 of the security matrix: Chroma is embedded, without a server and without its functions."""

import sqlite3
from pathlib import Path

import pytest

from app.retrieval import chroma_index
from app.settings import ROOT
from tests.retrieval.test_chroma_index import Search


def test_row_26_no_chroma_server_is_started_or_connected_to() -> None:
    code = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    deployed = [ROOT / "Dockerfile", ROOT / "fly.toml", *(ROOT / "deploy").rglob("*.*")]

    assert "PersistentClient" in code
    for client in ("HttpClient(", "AsyncHttpClient", "CloudClient"):
        assert f"chromadb.{client}" not in code
        assert f"import {client}" not in code
    assert not [path for path in deployed if "chroma run" in path.read_text()]


def test_row_26_all_vectors_are_ours_and_no_collection_has_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma_index, "LARGE", 1)
    search = Search(tmp_path)
    search.put("doc", ["One text.", "Another text."])
    search.keep_up()
    assert search.nearest("One text.") == ["One text."]
    search.close()

    with sqlite3.connect(tmp_path / "chroma" / "chroma.sqlite3") as database:
        (row,) = database.execute("SELECT config_json_str, schema_str FROM collections").fetchall()
    database.close()
    assert "hnsw" in str(row)
    assert '"name": "' not in str(row), "an embedding function is named"
