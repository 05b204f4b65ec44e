"""A network whose layers TPU-MLIR renames and merges; the files in golden/ are what it made of it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def renamed_network(seed: int = 0) -> onnx.ModelProto:
    """A Focus, a SiLU, two 1x1 convolutions in a row, a sum, a pool, a Softmax: `x` [1, 3, 16, 16] -> `y` [1, 6]."""
    rng = np.random.default_rng(seed)
    constants = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)
        for name, shape in (("w1", (8, 12, 3, 3)), ("w2", (4, 8, 1, 1)), ("w3", (8, 4, 1, 1)), ("w4", (6, 8)))
    ]
    nodes = []
    for row in (0, 1):
        for column in (0, 1):
            name = f"part{2 * column + row}"
            values = {"starts": [row, column], "ends": [16, 16], "axes": [2, 3], "steps": [2, 2]}
            for key, value in values.items():
                constants.append(numpy_helper.from_array(np.array(value, np.int64), f"{name}_{key}"))
            nodes.append(
                helper.make_node("Slice", ["x", *(f"{name}_{key}" for key in values)], [name], f"slice_{name}")
            )
    nodes += [
        helper.make_node("Concat", ["part0", "part1", "part2", "part3"], ["focus"], "join", axis=1),
        helper.make_node("Conv", ["focus", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c1"], ["s1"], "sigmoid"),
        helper.make_node("Mul", ["c1", "s1"], ["a1"], "silu"),
        helper.make_node("Conv", ["a1", "w2"], ["c2"], "conv2"),
        helper.make_node("Conv", ["c2", "w3"], ["c3"], "conv3"),
        helper.make_node("Relu", ["c3"], ["r3"], "relu3"),
        helper.make_node("Add", ["a1", "r3"], ["sum"], "residual"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w4"], ["logits"], "fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["y"], "softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6])],
        constants,
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
