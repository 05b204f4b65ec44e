"""Small networks and pictures that tests make for themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.artifacts import write_checksums
from stages.core.config.composition import compose_socs
from stages.core.config.schema import Config, QuantConfig, Requantization, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from stages.core.statistics.collect import collect
from stages.quantize.emit.lower import lower
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.partition.converter_structure import converter_structure
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.quantizers.setup import QuantizerSetup


def relative_error(expected: Sequence[NDArray[Any]], actual: Sequence[NDArray[Any]]) -> float:
    """Squared error of an output in parts of its variance, each value about its own mean over the pictures.

    Args:
        expected: the float network's, one of equal shape a picture.
        actual: the quantized network's.
    """
    wide = np.stack(expected).astype(np.float64)
    return float(((np.stack(actual) - wide) ** 2).mean() / wide.var(axis=0, ddof=1).mean())


def tiny_classifier(classes: int = 3, size: int = 16, batch: int | str = 1, seed: int = 0) -> onnx.ModelProto:
    """A classifier with a dense and a depthwise convolution, a residual sum, pooling and a fully connected layer.

    Input `images` [batch, 3, size, size], output `logits` [batch, classes]; opset 17.
    """
    rng = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        fan = float(np.prod(shape[1:]))
        return numpy_helper.from_array(rng.normal(0, fan**-0.5, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["images", "w1", "b1"], ["c1"], "stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"], "stem_relu"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "depthwise", pads=[1, 1, 1, 1], group=8),
        helper.make_node("Clip", ["c2", "zero", "six"], ["r2"], "depthwise_relu6"),
        helper.make_node("Conv", ["r2", "w3", "b3"], ["c3"], "project"),
        helper.make_node("Add", ["r1", "c3"], ["sum"], "residual"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["logits"], "fc", transB=1),
    ]
    constants = [
        weight("w1", 8, 3, 3, 3),
        weight("b1", 8),
        weight("w2", 8, 1, 3, 3),
        weight("b2", 8),
        weight("w3", 8, 8, 1, 1),
        weight("b3", 8),
        weight("w4", classes, 8),
        weight("b4", classes),
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.float32(6), "six"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])],
        constants,
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )


def two_cameras(seed: int = 0) -> onnx.ModelProto:
    """Two pictures, a convolution each, joined: `wide` [1, 3, 12, 20], `near` [1, 3, 8, 8] -> `y` [1, 5]."""
    rng = np.random.default_rng(seed)
    nodes, constants = [], [_drawn(rng, "w", 5, 12), _drawn(rng, "b", 5)]
    for name in ("wide", "near"):
        constants += [_drawn(rng, f"{name}_w", 6, 3, 3, 3), _drawn(rng, f"{name}_b", 6)]
        nodes += [
            helper.make_node("Conv", [name, f"{name}_w", f"{name}_b"], [f"{name}_c"], f"{name}_conv", strides=[2, 2]),
            helper.make_node("Relu", [f"{name}_c"], [f"{name}_r"], f"{name}_relu"),
            helper.make_node("GlobalAveragePool", [f"{name}_r"], [f"{name}_p"], f"{name}_pool"),
            helper.make_node("Flatten", [f"{name}_p"], [f"{name}_f"], f"{name}_flat"),
        ]
    nodes.append(helper.make_node("Concat", ["wide_f", "near_f"], ["joined"], "join", axis=1))
    nodes.append(helper.make_node("Gemm", ["joined", "w", "b"], ["y"], "fc", transB=1))
    return _network(nodes, {"wide": [1, 3, 12, 20], "near": [1, 3, 8, 8]}, {"y": [1, 5]}, constants)


def picture_and_state(seed: int = 0) -> onnx.ModelProto:
    """A picture and a vector: `image` [1, 3, 8, 8], `state` [1, 6] -> `y` [1, 4], `next` [1, 6]."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Conv", ["image", "wi", "bi"], ["c"], "conv", strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["state", "ws", "bs"], ["s"], "state_fc", transB=1),
        helper.make_node("Relu", ["s"], ["sr"], "state_relu"),
        helper.make_node("Add", ["f", "sr"], ["next"], "sum"),
        helper.make_node("Gemm", ["next", "wo", "bo"], ["y"], "fc", transB=1),
    ]
    constants = [_drawn(rng, "wi", 6, 3, 3, 3), _drawn(rng, "bi", 6), _drawn(rng, "ws", 6, 6), _drawn(rng, "bs", 6)]
    constants += [_drawn(rng, "wo", 4, 6), _drawn(rng, "bo", 4)]
    return _network(nodes, {"image": [1, 3, 8, 8], "state": [1, 6]}, {"y": [1, 4], "next": [1, 6]}, constants)


def vector_network(seed: int = 0) -> onnx.ModelProto:
    """Two fully connected layers: `x` [1, 10] -> `y` [1, 3]."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], "first", transB=1),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], "second", transB=1),
    ]
    constants = [_drawn(rng, "w1", 8, 10), _drawn(rng, "b1", 8), _drawn(rng, "w2", 3, 8), _drawn(rng, "b2", 3)]
    return _network(nodes, {"x": [1, 10]}, {"y": [1, 3]}, constants)


def _drawn(rng: np.random.Generator, name: str, *shape: int) -> onnx.TensorProto:
    values = rng.normal(0, float(np.prod(shape[1:])) ** -0.5, shape)
    return numpy_helper.from_array(values.astype(np.float32), name)


def _network(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
    constants: Sequence[onnx.TensorProto],
) -> onnx.ModelProto:
    fed, made = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends.items()]
        for ends in (inputs, outputs)
    )
    graph = helper.make_graph(list(nodes), "several", fed, made, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def write_pictures(folder: Path, count: int, size: int = 24, seed: int = 0, suffix: str = ".png") -> list[Path]:
    """Write noisy pictures with a coloured gradient; their names sort in the order written."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for index in range(count):
        ramp = np.linspace(0, 255, size)[:, None, None] * rng.random(3)
        noise = rng.normal(0, 30, (size, size, 3))
        picture = np.clip(ramp + noise, 0, 255).astype(np.uint8)
        path = folder / f"{index:03d}{suffix}"
        assert cv2.imwrite(str(path), picture)
        paths.append(path)
    return paths


@cache
def soc_config(name: str) -> SocConfig:
    """The SOC of conf/soc/<name>.yaml; `multiplier_shift` and `shift` are two of Sophgo's with those generic rules."""
    if name in GENERIC:
        return replace(soc_config(GENERIC[name]), requantization=Requantization[name])
    return compose_socs([name], Path(__file__).parent.parent / "conf")[name]


GENERIC = {"multiplier_shift": "bm1684x", "shift": "bm1684"}
"""Rules that no SOC of conf/soc has -> the SOC that they are tested with."""


@dataclass(frozen=True)
class Quantized:
    """A network after calibration and quantization, as the stages do it, without files."""

    model: onnx.ModelProto
    setup: QuantizerSetup
    params: NetworkParams
    qdq: onnx.ModelProto
    integer: onnx.ModelProto
    notes: list[str]

    @property
    def bits(self) -> dict[str, int]:
        """Width of every tensor of codes."""
        return {entry.tensor: entry.bits for entry in self.params.features}

    def domain_node(self, tensor: str) -> onnx.NodeProto:
        """The node of the integer model that makes a tensor."""
        return next(node for node in self.integer.graph.node if tensor in node.output)


def quantized_network(
    model: onnx.ModelProto,
    pictures: Sequence[Mapping[str, NDArray[np.float32]]],
    soc: SocConfig,
    by_node: Mapping[str, NodeBits] | None = None,
    **quant: Any,
) -> Quantized:
    """Calibrate a network on `pictures` and quantize it for `soc`; `quant` are keys of QuantConfig."""
    model = onnx.shape_inference.infer_shapes(converter_structure(model) if soc.requantization.is_converters else model)
    graph = Graph(model)
    config = Config(soc=soc, quant=QuantConfig("q", **quant))
    setup = place_quantizers(graph, soc, config.quant, by_node)
    statistics = collect(model, ((str(index), dict(feeds)) for index, feeds in enumerate(pictures)))
    features = choose_features(setup, graph, statistics, config)
    weights, codes = choose_weights(setup, graph, features, config)
    params = NetworkParams(features, weights)
    integer, wide = lower(model, soc, setup, params, codes)
    qdq = insert_quantizers(model, params, codes)
    return Quantized(model, setup, params, qdq, integer, setup.notes + wide)


def spoil_logits(path: Path) -> None:
    """Make the scale of the tiny classifier's logits not a number, in the integer model of a SOC with float outputs."""
    model = onnx.load(path)
    (last,) = (each for each in model.graph.node if "logits" in each.output)
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == last.input[3])
    scale.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(scale), np.nan), scale.name))
    onnx.save(model, path)
    write_checksums(path.parent)
