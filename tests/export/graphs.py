"""Small ONNX graphs built from a list of nodes."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node


def graph_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, ArrayLike] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model with float inputs; constants are float32 unless they are integer arrays already."""

    def tensor(name: str, value: ArrayLike) -> onnx.TensorProto:
        array = np.asarray(value)
        return numpy_helper.from_array(array if array.dtype.kind == "i" else array.astype(np.float32), name)

    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [tensor(name, value) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def normalized_model(height: int | str = 8, batch: int | str = 1, opset: int = 17) -> onnx.ModelProto:
    """Conv, BatchNormalization, Relu, Conv without a name, with documentation and metadata everywhere."""
    rng = np.random.default_rng(3)
    constants = {
        "w": rng.normal(0, 0.3, (4, 3, 3, 3)),
        "b": rng.normal(0, 1, 4),
        "gamma": rng.uniform(0.5, 2, 4),
        "beta": rng.normal(0, 1, 4),
        "mean": rng.normal(0, 1, 4),
        "variance": rng.uniform(0.5, 2, 4),
        "w2": rng.normal(0, 0.3, (2, 4, 1, 1)),
    }
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], "first", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "gamma", "beta", "mean", "variance"], ["n"], "norm"),
        node("Relu", ["n"], ["r"], "active"),
        node("Conv", ["r", "w2"], ["y"]),
    ]
    return graph_model(nodes, {"x": [batch, 3, height, 8]}, ["y"], constants, opset)


def single_input(kind: int = TensorProto.FLOAT, shape: Sequence[int] = (1, 3, 4, 4)) -> onnx.ModelProto:
    """One input, an Identity, one output."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"], "same")],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run_onnx(model: onnx.ModelProto, feeds: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Run in plain ONNX Runtime with its default options."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))
