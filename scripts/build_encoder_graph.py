"""Write `app/retrieval/e5/encoder.onnx`: the model's computation, without its weights.

Run it after a change to it: `python -m scripts.build_encoder_graph`. The weights are given to the
graph when it is loaded (`app/retrieval/e5/encoder.py`), by the names of its initializers.

Matrices are multiplied in integers. The weights have at most eight bits and a scale for each
column. What they are multiplied with has eight bits and a scale for each row, which is a token: a
text's vector does not depend on the others in its batch, nor on one odd token.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from app.retrieval.e5 import encoder
from app.retrieval.e5.weights import FEED_FORWARD, HEADS, HIDDEN, LAYERS

_EPSILON = 1e-12
_OF_ONNXRUNTIME = "com.microsoft"


class _Graph:
    """Nodes and initializers, in the order added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: object, dtype: type[np.generic]) -> str:
        """Add a value of the graph's own."""
        self.initializers.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def weight(self, name: str, shape: Sequence[int], kind: int = TensorProto.FLOAT) -> str:
        """Name a tensor of the model."""
        tensor = TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="given when the graph is loaded")
        self.initializers.append(tensor)
        return name

    def quantized(self, x: str) -> None:
        """Add `x` in eight bits, as `x.integers`, and each row's scale, as `x.scale`."""
        largest = self.add("ReduceMax", [self.add("Abs", [x], f"{x}.abs"), "last"], f"{x}.max")
        scale = self.add("Mul", [largest, "1/127"], f"{x}.exact_scale")
        # A row of zeros has no scale.
        self.add("Max", [scale, "least_scale"], f"{x}.scale")
        flat = self.add("Reshape", [f"{x}.scale", "flat"], f"{x}.scales")
        self.add("QuantizeLinear", [x, flat, "zero_points"], f"{x}.integers", axis=0)

    def product(self, x: str, name: str, rows: int, columns: int) -> str:
        """Add the product of a quantized `x` and a matrix of the model."""
        matrix = self.weight(name, (rows, columns), TensorProto.INT8)
        scale = self.weight(f"{name}.scale", (columns,))
        inputs = [f"{x}.integers", matrix, "one", scale, "zero_point"]
        scaled = self.add(
            "MatMulIntegerToFloat", inputs, f"{name}.columns_scaled", domain=_OF_ONNXRUNTIME
        )
        return self.add("Mul", [scaled, f"{x}.scale"], f"{name}.product")

    def normalized_sum(self, x: str, y: str, bias: str, norm: str) -> str:
        """Add the normalised sum of `x`, `y` and a bias."""
        vectors = [self.weight(name, (HIDDEN,)) for name in (f"{norm}.w", f"{norm}.b", bias)]
        return self.add(
            "SkipLayerNormalization",
            [x, y, *vectors],
            f"{norm}.out",
            domain=_OF_ONNXRUNTIME,
            epsilon=_EPSILON,
        )


def build() -> onnx.ModelProto:
    """The graph: embeddings `(texts, tokens, HIDDEN)` and a mask in, hidden states out."""
    graph = _Graph()
    graph.constant("one", 1, np.float32)
    graph.constant("1/127", 1 / 127, np.float32)
    graph.constant("least_scale", 1e-9, np.float32)
    graph.constant("zero_point", 128, np.uint8)
    graph.constant("last", [-1], np.int64)
    graph.constant("flat", [-1], np.int64)
    graph.constant("rows", [-1, HIDDEN], np.int64)
    graph.constant("thirds", [HIDDEN] * 3, np.int64)
    graph.add("Shape", ["embeddings"], "shape")
    graph.add("Reshape", ["embeddings", "rows"], "tokens")
    graph.add("Shape", ["tokens"], "token_count", start=0, end=1)
    zero = numpy_helper.from_array(np.array([128], np.uint8))
    graph.add("ConstantOfShape", ["token_count"], "zero_points", value=zero)
    norm = [graph.weight(f"emb.ln.{part}", (HIDDEN,)) for part in "wb"]
    state = graph.add(
        "LayerNormalization", ["tokens", *norm], "emb.ln.out", epsilon=_EPSILON, axis=-1
    )
    for layer in range(LAYERS):
        state = _layer(graph, f"l{layer}", state)
    graph.add("Reshape", [state, "shape"], "hidden")
    shape: list[str | int | None] = ["texts", "tokens", HIDDEN]
    described = helper.make_graph(
        graph.nodes,
        "multilingual-e5-small",
        [
            helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("mask", TensorProto.INT32, shape[:2]),
        ],
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, shape)],
        graph.initializers,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(_OF_ONNXRUNTIME, 1)]
    return helper.make_model(described, opset_imports=opsets, ir_version=8, producer_name="zantara")


def _layer(graph: _Graph, name: str, state: str) -> str:
    graph.quantized(state)
    joined = graph.product(state, f"{name}.qkv.w", HIDDEN, 3 * HIDDEN)
    parts = [f"{name}.{part}" for part in ("queries", "keys", "values")]
    graph.nodes.append(helper.make_node("Split", [joined, "thirds"], parts, axis=-1))
    shaped = [graph.add("Reshape", [part, "shape"], f"{part}.shaped") for part in parts]
    bias = graph.weight(f"{name}.qkv.b", (3 * HIDDEN,))
    heads = graph.add(
        "MultiHeadAttention",
        [*shaped, bias, "mask"],
        f"{name}.heads",
        domain=_OF_ONNXRUNTIME,
        num_heads=HEADS,
    )
    attended = graph.add("Reshape", [heads, "rows"], f"{name}.attended")
    graph.quantized(attended)
    out = graph.product(attended, f"{name}.ao.w", HIDDEN, HIDDEN)
    state = graph.normalized_sum(out, state, f"{name}.ao.b", f"{name}.aln")
    graph.quantized(state)
    inner = graph.product(state, f"{name}.fi.w", HIDDEN, FEED_FORWARD)
    bias = graph.weight(f"{name}.fi.b", (FEED_FORWARD,))
    active = graph.add("BiasGelu", [inner, bias], f"{name}.gelu", domain=_OF_ONNXRUNTIME)
    graph.quantized(active)
    out = graph.product(active, f"{name}.fo.w", FEED_FORWARD, HIDDEN)
    return graph.normalized_sum(out, state, f"{name}.fo.b", f"{name}.oln")


def main(path: Path = encoder.GRAPH) -> None:
    """Write the file."""
    path.write_bytes(build().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
