"""Networks in half precision, read as float32."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.sources import SourceFile
from stages.core.config.schema import ModelConfig
from stages.core.data.model_files import with_format
from stages.core.graph.session import Runner
from stages.export.canonical import canonicalize
from stages.export.cut import find_cut
from stages.export.float16 import in_float32, other_precision
from stages.export.shapes import fix_shapes
from stages.export.sources.onnx_file import read_onnx
from tests.export.graphs import graph_model, node, run_onnx

HALF, SINGLE = TensorProto.FLOAT16, TensorProto.FLOAT
WEIGHT = np.array([[0.1, -2.5], [1000.0, 6e-8]], np.float16)  # rounded, exact, large, subnormal


def network(*, ends: int) -> onnx.ModelProto:
    """y = ((x @ w) cast to float16) + 0.5, where x and y are of type `ends` and all inside is float16."""
    half = numpy_helper.from_array(np.array([0.5], np.float16))
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=HALF),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Constant", [], ["c"], value=half),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Cast", ["d"], ["y"], to=ends),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", ends, [1, 2])],
        [helper.make_tensor_value_info("y", ends, [1, 2])],
        [numpy_helper.from_array(WEIGHT, "w")],
        value_info=[helper.make_tensor_value_info("b", HALF, [1, 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("ends", [HALF, SINGLE])
def test_weights_keep_their_values_and_features_are_float32(ends):
    widened = in_float32(network(ends=ends))
    onnx.checker.check_model(widened, full_check=True)
    assert other_precision(widened) is None
    x = np.array([[3.0, 1 / 3]], np.float32)
    (y,) = Runner(widened).run({"x": x}).values()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, x @ WEIGHT.astype(np.float32) + np.float32(0.5), rtol=1e-6)


@pytest.mark.parametrize("ends", [HALF, SINGLE])
def test_casts_between_float16_and_float32_go(ends):
    model = in_float32(network(ends=ends))
    exported = canonicalize(fix_shapes(model, {}), find_cut(model, [None], []))
    assert [entry.op_type for entry in exported.graph.node] in (["MatMul", "Add"], ["Gemm"])


def test_branches_are_widened_too():
    then, other = (
        helper.make_graph(
            [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array([value], np.float16)))],
            name,
            [],
            [helper.make_tensor_value_info(name, HALF, [1])],
        )
        for name, value in (("t", 1.5), ("o", 2.5))
    )
    nodes = [helper.make_node("If", ["yes"], ["c"], then_branch=then, else_branch=other),
             helper.make_node("Mul", ["x", "c"], ["y"])]  # fmt: skip
    infos = [[helper.make_tensor_value_info(name, HALF, [1])] for name in ("x", "y")]
    yes = numpy_helper.from_array(np.array(True), "yes")
    model = helper.make_model(
        helper.make_graph(nodes, "g", *infos, [yes]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    (y,) = Runner(in_float32(model)).run({"x": np.array([2.0], np.float32)}).values()
    assert y.tolist() == [3.0]


def test_a_constant_of_a_node_is_seen():
    model = network(ends=SINGLE)
    assert other_precision(model) == "float16"
    del model.graph.initializer[:]
    assert other_precision(model) == "float16"
    del model.graph.node[2]
    assert other_precision(model) is None


def test_the_source_is_not_changed():
    source = network(ends=HALF)
    before = source.SerializeToString()
    in_float32(source)
    assert source.SerializeToString() == before


def test_export_reads_it_and_says_so(capsys):
    source = network(ends=HALF)
    assert (
        other_precision(
            read_onnx(ModelConfig(), with_format([SourceFile("half.onnx", source.SerializeToString)])).model
        )
        is None
    )
    assert "half.onnx is float16: read as float32" in capsys.readouterr().err
    single = in_float32(source)
    read_onnx(ModelConfig(), with_format([SourceFile("single.onnx", single.SerializeToString)]))
    assert "float16" not in capsys.readouterr().err


def test_float64_between_float32_is_read_as_float32():
    nodes = [
        node("Cast", ["x"], ["d"], "wide", to=TensorProto.DOUBLE),
        node("Softmax", ["d"], ["s"], "soft"),
        node("Cast", ["s"], ["y"], "narrow", to=TensorProto.FLOAT),
    ]
    model = graph_model(nodes, {"x": [1, 4]}, ["y"])
    assert other_precision(model) == "float64 in places"
    changed = in_float32(model)
    assert other_precision(changed) is None
    values = {"x": np.float32([[0, 1, 2, -1]])}
    (before,), (after,) = run_onnx(model, values), run_onnx(changed, values)
    np.testing.assert_allclose(after, before, rtol=1e-6)
