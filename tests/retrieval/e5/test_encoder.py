from pathlib import Path

import pytest

from app.retrieval.e5 import E5Embedder, encoder
from scripts.build_encoder_graph import main


def test_the_graph_is_what_the_script_writes(tmp_path: Path) -> None:
    """After a change: `python -m scripts.build_encoder_graph`."""
    main(tmp_path / "encoder.onnx")
    assert (tmp_path / "encoder.onnx").read_bytes() == encoder.GRAPH.read_bytes()


@pytest.mark.parametrize(
    ("machine", "flags", "largest"),
    [
        ("x86_64", "flags: avx2 avx512f avx512_vnni", 127),
        ("x86_64", "flags: avx2 avx_vnni", 127),
        ("x86_64", "flags: avx2 avx512f", 63),
        ("aarch64", "", 127),
    ],
)
def test_weights_have_eight_bits_where_the_processor_adds_their_products_exactly(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: str, largest: int
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda _: flags)
    assert encoder.largest_weight.__wrapped__() == largest


def test_seven_bits_make_nearly_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a processor without VNNI computes fits a store that another one filled."""
    texts = ["query: Quanto capitale serve per una PT PMA?", "query: How long does a KITAS last?"]
    vectors = E5Embedder().embed_queries(texts)
    monkeypatch.setattr(encoder, "largest_weight", lambda: 63)
    others = E5Embedder().embed_queries(texts)
    assert 0.995 < (vectors * others).sum(axis=1).min() < 0.99999
