"""Which joints stay in float because one scale would ruin a part."""

import numpy as np
import onnx
import pytest

from stages.core.config.schema import QuantConfig, UnlikeParts
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.unlike_parts import keep_in_float, unlike_joints
from tests.export.graphs import graph_model, node
from tests.quantize.quantizers.placements import soc

HEAD = [
    node("Conv", ["x", "w"], ["boxes"], "box_conv"),
    node("Conv", ["x", "w"], ["logits"], "score_conv"),
    node("Sigmoid", ["logits"], ["scores"], "sigmoid"),
    node("Concat", ["boxes", "scores"], ["joint"], "join", axis=1),
    node("Reshape", ["joint", "shape"], ["y"], "rows"),
]


def network(nodes=HEAD, outputs=("y",)):
    constants = {"w": np.ones((4, 4, 1, 1)), "shape": np.array([1, 8, -1])}
    model = graph_model(nodes, {"x": [1, 4, 6, 6]}, list(outputs), constants)
    return LayerGraph.of(Graph(onnx.shape_inference.infer_shapes(model)), soc())


def ranges(**of_tensors):
    none = np.zeros(0, np.float32)
    return {
        name: TensorStatistics(low, high, np.zeros(1, np.int64), 0, 0, none, none, none.astype(np.float64))
        for name, (low, high) in of_tensors.items()
    }


def found(boxes, scores=(0, 1), bits=8, layers=None, **quant):
    settings = QuantConfig("q", feature_bits=bits, **quant)
    return unlike_joints(layers or network(), ranges(boxes=boxes, scores=scores), settings)


def test_pixels_and_scores_are_kept_in_float_up_to_the_output():
    (joint,) = found((2, 320))
    assert (joint.node, joint.part, joint.part_range, joint.joint_range) == ("join", "scores", (0, 1), (0, 320))
    assert joint.codes == pytest.approx(256 / 320)
    assert joint.following == ("join", "rows")
    assert keep_in_float([joint]) == {"join": NodeBits(32), "rows": NodeBits(32)}
    expected = (
        "join (Concat) and what follows stay in float: scores (0 .. 1) would have 0.8 codes on one scale with 0 .. 320"
    )
    assert joint.note().startswith(expected)


@pytest.mark.parametrize(
    ("high", "bits", "kept"),
    [(15.9, 8, False), (16.1, 8, True), (250, 12, False), (257, 12, True), (15.9, 4, False), (16.1, 4, True)],
)
def test_a_part_needs_sixteen_codes_or_of_few_bits_a_sixteenth(high, bits, kept):
    assert bool(found((0, high), bits=bits)) is kept


def test_a_part_below_zero_counts_as_far():
    assert found((-40, 0))
    assert not found((-6, 8))


def test_a_part_that_is_always_zero_is_not_ruined():
    assert not found((0, 320), scores=(0, 0))


def test_the_user_may_want_them_quantized_or_everything_in_float():
    assert not found((0, 320), unlike_parts=UnlikeParts.quantized)
    assert not found((0, 320), bits=32)


def test_a_joint_inside_the_network_is_none_of_this():
    weights = node("Conv", ["joint", "w8"], ["z"], "after")
    constants = {"w": np.ones((4, 4, 1, 1)), "w8": np.ones((4, 8, 1, 1))}
    model = graph_model([*HEAD[:4], weights], {"x": [1, 4, 6, 6]}, ["z"], constants)
    layers = LayerGraph.of(Graph(onnx.shape_inference.infer_shapes(model)), soc())
    assert not found((0, 320), layers=layers)
    model = graph_model([*HEAD[:4], weights], {"x": [1, 4, 6, 6]}, ["z", "joint"], constants)
    layers = LayerGraph.of(Graph(onnx.shape_inference.infer_shapes(model)), soc())
    assert not found((0, 320), layers=layers)
