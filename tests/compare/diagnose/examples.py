"""What checks are tried on: features, rows and graphs written by hand."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.compare.gather.observed_features import ObservedFeature
from stages.compare.gather.similarity import Similarity
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams, RangeSource, WeightParams


def feature(tensor="t", low=-1.0, high=1.55, seen=(-1.0, 1.5), method=RangeSource.MAX_ABS, bits=8, node=None):
    scale = (high - low) / (2**bits - 1)
    return FeatureParams(tensor, node or f"{tensor}_node", bits, scale, round(-low / scale), low, high, *seen, method)


def weight(node, bits=8, axis: int | None = 0, tensor=None, scales=(0.1,)):
    return WeightParams(tensor or f"{node}_w", node, bits, axis, scales, "MAX_ABS")


def observed(low=(-1.0,), high=(1.0,), clipped=0.0, beyond=0.0, furthest=""):
    """A feature of 100 values and energy 1, by its channels' ends; `clipped` and `beyond` are parts of the energy."""
    return ObservedFeature(
        np.array(low),
        np.array(high),
        100,
        round(100 * clipped),
        round(100 * beyond),
        1.0,
        clipped,
        beyond,
        (beyond, furthest),
    )


def row(node, cosine=0.999, alone=0.9999, decibels=40.0, features=0.999, weights=0.999):
    return {
        "node": node, "cosine_avg": cosine, "isolated_cosine": alone, "isolated_sqnr": decibels,
        "feature_cosine": features, "weight_cosine": weights, "max_absolute": 1.0,
    }  # fmt: skip


def table(rows, output=None):
    """The similarity table of some rows, each node's tensor called as it is; the last row is the output's."""
    return Similarity({row["node"]: row for row in rows}, output or (rows[-1] if rows else {}))


def chain(count=4, scale_of=None, clip=False):
    """Convolutions c0, c1, ... [1, 8, 4, 4], 1x1, behind each a Relu (`clip`: a Clip to 0..6) r0, r1, ..."""
    rng = np.random.default_rng(0)
    nodes, stored, last = [], [], "x"
    for index in range(count):
        value = rng.normal(0, 1, (8, 8, 1, 1)).astype(np.float32)
        if scale_of and index in scale_of:
            value[0] *= scale_of[index]
        stored.append(numpy_helper.from_array(value, f"c{index}_w"))
        nodes.append(helper.make_node("Conv", [last, f"c{index}_w"], [f"C{index}"], f"c{index}"))
        ends = ["zero", "six"] if clip else []
        nodes.append(helper.make_node("Clip" if clip else "Relu", [f"C{index}", *ends], [f"R{index}"], f"r{index}"))
        last = f"R{index}"
    if clip:
        stored += [numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("six", 6))]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 4, 4])]
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, 8, 4, 4])]
    graph = helper.make_graph(nodes, "chain", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Graph(onnx.shape_inference.infer_shapes(model))
