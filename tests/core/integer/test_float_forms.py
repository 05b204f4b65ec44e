"""Operators in float as basic ones: ONNX Runtime runs both forms."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.graph.session import Runner
from stages.core.integer.float_forms import RULES, basic_forms


def real(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def model_of(nodes, x, constants=(), opset=18):
    """A network of nodes from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


CASES = {
    "gelu by tanh": ("Gelu", (2, 5), [], {"approximate": "tanh"}, 20),
    "sum of three": ("Sum", (2, 3), [real(2, 3), real(3)], {}, 18),
    "old form of a reduction": ("ReduceL2", (2, 3, 4), [], {"axes": [1], "keepdims": 0}, 13),
    "axes as an input": ("ReduceLogSumExp", (2, 3, 4), [np.array([0, 2])], {}, 18),
    "log-softmax of the first axis": ("LogSoftmax", (3, 4), [], {"axis": 0}, 18),
    "running sum backwards": ("CumSum", (3, 4), [np.array(0)], {"reverse": 1, "exclusive": 1}, 18),
    "layer of two axes": ("LayerNormalization", (2, 3, 4), [real(3, 4), real(3, 4)], {"axis": 1}, 18),
    "instance": ("InstanceNormalization", (2, 3, 4, 5), [real(3), real(3)], {}, 18),
    "groups of channels": ("GroupNormalization", (2, 4, 3, 3), [real(4), real(4)], {"num_groups": 2}, 21),
    "batch": ("BatchNormalization", (2, 3, 4), [real(3), real(3), real(3), np.abs(real(3))], {}, 18),
    "gemm with every option": (
        "Gemm", (4, 3), [real(5, 4), real(5)], {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1}, 18,
    ),
    "a vector": ("MatMul", (4,), [real(4, 3)], {}, 18),
    "attention": ("Einsum", (2, 3, 4, 5), [real(2, 6, 4, 5)], {"equation": "bqhd,bkhd->bhqk"}, 18),
    "a trace of letters": ("Einsum", (3, 4), [real(4, 5), real(5)], {"equation": "ij,jk,k->i"}, 18),
    "an ellipsis": ("Einsum", (2, 3, 4), [real(4, 5)], {"equation": "...i,ij->...j"}, 18),
    "cubic": (
        "Resize", (1, 2, 4, 5), [np.float32([]), np.float32([1, 1, 1.5, 0.6])], {"mode": "cubic", "antialias": 0}, 18,
    ),
    "linear of three axes": (
        "Resize", (1, 1, 2, 3, 4), [np.float32([]), np.float32([]), np.array([1, 1, 3, 5, 2])],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, 18,
    ),
    "volumes": ("Conv", (2, 4, 5, 6, 7), [real(6, 2, 3, 2, 3), real(6)],
                {"group": 2, "strides": [2, 1, 2], "pads": [1, 0, 1, 1, 1, 0], "dilations": [1, 2, 1]}, 18),
    "transposed volumes": ("ConvTranspose", (1, 2, 3, 3, 2), [real(2, 3, 2, 2, 3)],
                           {"strides": [2, 1, 2], "pads": [0, 1, 0, 1, 0, 1]}, 18),
    "transposed by output shape": ("ConvTranspose", (1, 2, 3, 3), [real(2, 3, 3, 3)],
                                   {"strides": [2, 2], "output_shape": [6, 5]}, 18),
    "mean of volumes": ("AveragePool", (1, 2, 4, 5, 6), [],
                        {"kernel_shape": [2, 3, 2], "pads": [1, 1, 0, 0, 1, 1], "count_include_pad": 1}, 18),
    "mean rounded up": ("AveragePool", (1, 2, 5, 5), [],
                        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, 18),
    "largest of volumes": ("MaxPool", (1, 2, 4, 5, 6), [], {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2]}, 18),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_basic_form_gives_the_same_values(case):
    kind, shape, more, attributes, opset = CASES[case]
    constants = {f"constant{index}": value for index, value in enumerate(more)}
    x = real(*shape, seed=1)
    model = model_of([helper.make_node(kind, ["x", *constants], ["y"], name="n", **attributes)], x, constants, opset)
    basic = basic_forms(model)
    assert kind not in {node.op_type for node in basic.graph.node} - {"Conv", "ConvTranspose", "MatMul", "MaxPool"}
    before, after = (Runner(each, optimize="none").run({"x": x})["y"] for each in (model, basic))
    assert before.shape == after.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_what_is_known_before_is_a_constant_under_its_name():
    """Shape, and the product of its elements, reach a Reshape as numbers; both stay outputs of nodes."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], name="shape"),
        helper.make_node("ReduceProd", ["shape"], ["count"], name="count", keepdims=1),
        helper.make_node("Constant", [], ["more"], name="more", value_ints=[1, 1]),
        helper.make_node("Concat", ["more", "count"], ["all"], name="all", axis=0),
        helper.make_node("Reshape", ["x", "all"], ["y"], name="reshape"),
    ]
    x = real(2, 3)
    basic = basic_forms(model_of(nodes, x))
    kinds = {node.name: node.op_type for node in basic.graph.node}
    assert kinds == {"shape": "Identity", "count": "Identity", "all": "Identity", "reshape": "Reshape"}
    sizes = basic.graph.node[-1].input[1]
    constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in basic.graph.initializer}
    assert constants[sizes] == [1, 1, 6]
    np.testing.assert_array_equal(Runner(basic).run({"x": x})["y"], x.reshape(1, 1, 6))


def test_nodes_on_codes_and_control_flow_stay_as_they_are():
    body = helper.make_graph([helper.make_node("Gelu", ["x"], ["a"])], "body", [], [onnx.ValueInfoProto(name="a")])
    nodes = [helper.make_node("If", ["known"], ["y"], name="if", then_branch=body, else_branch=body)]
    basic = basic_forms(model_of(nodes, real(3), {"known": np.array(True)}, 20))
    assert [node.op_type for node in basic.graph.node] == ["If"]


def test_every_rule_is_for_an_operator_of_onnx():
    assert all(onnx.defs.has(name) for name in RULES.keys() - {"RMSNormalization", "Swish"})
