"""Small networks of various operators, and their scans."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnx

from stages.core.config.schema import Color, QuantConfig, SocConfig
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.scan.network_scan import NetworkScan, scan_network
from stages.scan.placements import Placement, Placements
from tests.export.graphs import graph_model, node
from tests.networks import soc_config, tiny_classifier, two_cameras

INT8 = QuantConfig("int8")


@cache
def socs(*names: str) -> Mapping[str, SocConfig]:
    """SOCs of conf/soc/."""
    return {name: soc_config(name) for name in names}


def inputs_of(model: onnx.ModelProto) -> list[NetworkInput]:
    """The inputs of a network, as they come where nothing is configured."""
    graph = Graph(model)
    return [
        NetworkInput(name, tuple(shape), (0.0,) * shape[1], (1.0,) * shape[1], Color.RGB)
        for name in graph.inputs
        for shape in [graph.shapes[name]]
    ]


def scanned(model: onnx.ModelProto, names: tuple[str, ...], quant: QuantConfig = INT8) -> NetworkScan:
    """The scan of a network that is in the canonical form already."""
    model = onnx.shape_inference.infer_shapes(model)
    return scan_network(Graph(model), inputs_of(model), "outputs: y (values)", socs(*names), quant)


def placed(model: onnx.ModelProto, name: str, quant: QuantConfig = INT8) -> Placement:
    """The placement of a network that is in the canonical form already."""
    return Placements(Graph(onnx.shape_inference.infer_shapes(model)), quant).place(soc_config(name))


def _weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def attention() -> onnx.ModelProto:
    """A convolution, a gate by Exp, then a Softmax, Gather and LRN, a Softmax at the end: `x` [1, 3, 8, 8]."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("Exp", ["c"], ["e"], "gate"),
        node("Mul", ["c", "e"], ["m"], "gated"),
        node("Softmax", ["m"], ["s"], "weights", axis=1),
        node("Gather", ["s", "first"], ["g"], "picked", axis=1),
        node("LRN", ["g"], ["n"], "normalized", size=3),
        node("GlobalAveragePool", ["n"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flat"),
        node("Gemm", ["f", "v"], ["l"], "fc"),
        node("Softmax", ["l"], ["y"], "probabilities", axis=1),
    ]
    constants = {"w": _weights(4, 3, 3, 3), "first": np.array([0, 2]), "v": _weights(2, 5)}
    return graph_model(nodes, {"x": [1, 3, 8, 8]}, ["y"], constants)


def large_kernels() -> onnx.ModelProto:
    """A dense 3x3, a depthwise 5x5 of 8 channels at stride 2, a pointwise convolution: `x` [1, 3, 8, 8]."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "stem", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], "stem_relu"),
        node("Conv", ["r1", "w2", "b1"], ["c2"], "wide", pads=[2, 2, 2, 2], strides=[2, 2], group=8),
        node("Relu", ["c2"], ["r2"], "wide_relu"),
        node("Conv", ["r2", "w3", "b3"], ["y"], "project"),
    ]
    constants = {"w1": _weights(8, 3, 3, 3), "w2": _weights(8, 1, 5, 5), "w3": _weights(4, 8, 1, 1)}
    return graph_model(nodes, {"x": [1, 3, 8, 8]}, ["y"], constants | {"b1": np.zeros(8), "b3": np.zeros(4)})


def joined_parts() -> onnx.ModelProto:
    """Two branches of a convolution, joined at the output behind a Reshape each: `x` [1, 3, 4, 4] -> `y` [1, 4, 16]."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Conv", ["c", "w1"], ["a"], "boxes"),
        node("Conv", ["c", "w2"], ["b"], "scores"),
        node("Sigmoid", ["b"], ["s"], "probability"),
        node("Reshape", ["a", "flat"], ["ra"], "flat_boxes"),
        node("Reshape", ["s", "flat"], ["rs"], "flat_scores"),
        node("Concat", ["ra", "rs"], ["y"], "join", axis=1),
    ]
    constants = {"w": _weights(4, 3, 1, 1), "w1": _weights(2, 4, 1, 1), "w2": _weights(2, 4, 1, 1)}
    return graph_model(nodes, {"x": [1, 3, 4, 4]}, ["y"], constants | {"flat": np.array([1, 2, 16])})


NETWORKS = {
    "classifier": tiny_classifier,
    "cameras": two_cameras,
    "attention": attention,
    "large_kernels": large_kernels,
    "joined_parts": joined_parts,
}
