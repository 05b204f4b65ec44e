"""Networks whose outputs have parts of very different size, as their exporters write them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 12


def landmarks_and_scores(landmarks: int = 6, scale: float = 100.0) -> onnx.ModelProto:
    """Points in pixels and one score, joined: `images` [1, 3, 12, 12] -> `y` [1, landmarks + 1]."""
    nodes = [
        *_features(),
        helper.make_node("Gemm", ["flat", "wl", "bl"], ["points"], "points", transB=1),
        helper.make_node("Gemm", ["flat", "ws", "bs"], ["logit"], "logit", transB=1),
        helper.make_node("Sigmoid", ["logit"], ["score"], "score"),
        helper.make_node("Concat", ["points", "score"], ["y"], "join", axis=1),
    ]
    rng = np.random.default_rng(1)
    constants = [
        *_stored(rng),
        _drawn(rng, "wl", landmarks, 8, factor=scale),
        _drawn(rng, "bl", landmarks, factor=scale),
        _drawn(rng, "ws", 1, 8, factor=4.0),
        _drawn(rng, "bs", 1, factor=0.0),
    ]
    return _network(nodes, constants, [1, landmarks + 1])


def mean_and_variance(factor: float = 0.001) -> onnx.ModelProto:
    """A fully connected layer whose first three channels are means and the last one a small variance: `y` [1, 4]."""
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(0, 1, (4, 8)), np.array([50.0, 20.0, -30.0, 0.3])
    weight[:3] *= 20.0
    weight[3] *= factor * 20.0
    nodes = [*_features(), helper.make_node("Gemm", ["flat", "w", "b"], ["y"], "last", transB=1)]
    constants = [*_stored(rng), _constant("w", weight), _constant("b", bias)]
    return _network(nodes, constants, [1, 4])


def pictures(count: int = 8) -> list[dict[str, np.ndarray]]:
    """Noise of different strength, a picture each."""
    rng = np.random.default_rng(2)
    return [
        {"images": rng.normal(index / 8, 1 + index / 4, (1, 3, SIZE, SIZE)).astype(np.float32)}
        for index in range(count)
    ]


def _features() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Conv", ["images", "w1", "b1"], ["c1"], "stem", strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu"),
        helper.make_node("GlobalAveragePool", ["r1"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
    ]


def _stored(rng: np.random.Generator) -> list[onnx.TensorProto]:
    return [_drawn(rng, "w1", 8, 3, 3, 3), _drawn(rng, "b1", 8)]


def _drawn(rng: np.random.Generator, name: str, *shape: int, factor: float = 1.0) -> onnx.TensorProto:
    return _constant(name, rng.normal(0, factor * float(np.prod(shape[1:])) ** -0.5, shape))


def _constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value.astype(np.float32), name)


def _network(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], shape: list[int]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "joined",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)
