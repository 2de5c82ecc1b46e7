from pathlib import Path

from app.retrieval.e5 import encoder
from scripts.build_encoder_graph import main


def test_the_graph_is_what_the_script_writes(tmp_path: Path) -> None:
    """After a change: `python -m scripts.build_encoder_graph`."""
    main(tmp_path / "encoder.onnx")
    assert (tmp_path / "encoder.onnx").read_bytes() == encoder.GRAPH.read_bytes()
