import numpy as np
import onnx
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import Graph
from stages.export.tensor_names import free_derived_names
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import quantized_network, soc_config

X = {"x": np.random.default_rng(0).normal(0, 1, (1, 4, 8)).astype(np.float32)}


def normalized():
    """A sum, a LayerNormalization that gives it `s/scale` and `s/shift`, a sum again; `y/codes` is its output."""
    constants = {"one": np.ones(8), "s/scale": np.full(8, 2.0), "s/shift": np.zeros(8)}
    nodes = [
        node("Add", ["x", "one"], ["s"], "first"),
        node("LayerNormalization", ["s", "s/scale", "s/shift"], ["s/codes"], "norm", axis=-1),
        node("Add", ["s/codes", "one"], ["y/codes"], "last"),
    ]
    return graph_model(nodes, {"x": [1, 4, 8]}, ["y/codes"], constants)


def test_names_that_quantize_would_give_are_free():
    model = normalized()
    free_derived_names(model)
    (norm,) = (each for each in model.graph.node if each.op_type == "LayerNormalization")
    assert (list(norm.input), list(norm.output)) == (["s", "s_scale", "s_shift"], ["s_codes"])
    assert Graph(model).outputs == ["y/codes"]
    np.testing.assert_array_equal(run_onnx(model, X)[0], run_onnx(normalized(), X)[0])


def test_such_a_network_is_quantized():
    model = normalized()
    free_derived_names(model)
    quantized = quantized_network(model, [X], soc_config("t40"))
    expected, actual = run_onnx(model, X)[0], run_onnx(quantized.qdq, X)[0]
    assert np.abs(expected - actual).max() < 0.1


def test_what_a_body_reads_keeps_its_name():
    body = helper.make_graph(
        [helper.make_node("Identity", ["s/part"], ["out"])],
        "body",
        [],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)],
    )
    nodes = [node("Relu", ["x"], ["s"], "relu"), node("Neg", ["s"], ["s/part"], "part")]
    choice = helper.make_node("If", ["yes"], ["y"], "choice", then_branch=body, else_branch=body)
    model = graph_model([*nodes, choice], {"x": [1, 4, 8]}, ["y"])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    free_derived_names(model)
    assert list(model.graph.node[1].output) == ["s/part"]
