"""Every operator in PyTorch, three pictures at once, against ONNX Runtime, one picture at a time."""

import numpy as np
import pytest
import torch

from stages.core.graph.onnx_graph import Graph
from stages.quantize.operators import ONNX_OPERATORS
from stages.quantize.rounding.reconstruct.forward import run_node
from tests.export.graphs import graph_model, node, run_onnx

RNG = np.random.default_rng(0)
PICTURE = [1, 4, 6, 8]
INT = np.int64


def weight(*shape):
    return RNG.normal(0, 0.5, shape)


def whole(*values):
    return np.array(values, dtype=INT)


def one_node(kind, shapes=(PICTURE,), constants=(), outputs=1, opset=17, **attributes):
    """A network of one node: inputs of some shapes, then constants (None: left out)."""
    inputs = {f"x{i}": list(shape) for i, shape in enumerate(shapes)}
    tensors = {f"k{i}": value for i, value in enumerate(constants) if value is not None}
    names = [*inputs, *(f"k{i}" if value is not None else "" for i, value in enumerate(constants))]
    output_names = [f"y{i}" for i in range(outputs)]
    return graph_model([node(kind, names, output_names, "n", **attributes)], inputs, output_names, tensors, opset)


TWO = (PICTURE, PICTURE)
CASES = {
    "Conv": one_node("Conv", constants=[weight(5, 4, 3, 3), weight(5)], pads=[1, 1, 1, 1], strides=[2, 1]),
    "Conv, uneven pads, groups": one_node("Conv", constants=[weight(6, 2, 3, 3)], pads=[0, 1, 2, 0], group=2),
    "Conv, dilated": one_node("Conv", constants=[weight(5, 4, 2, 2)], dilations=[2, 3], auto_pad="VALID"),
    "Conv of a row": one_node("Conv", [[1, 4, 9]], [weight(5, 4, 3), weight(5)], pads=[0, 1]),
    "Conv of a volume": one_node("Conv", [[1, 2, 4, 4, 4]], [weight(3, 2, 2, 2, 2)]),
    "ConvTranspose": one_node(
        "ConvTranspose",
        constants=[weight(4, 3, 3, 3), weight(3)],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        output_padding=[1, 0],
    ),
    "ConvTranspose, groups": one_node("ConvTranspose", constants=[weight(4, 3, 2, 2)], group=2, strides=[2, 2]),
    "ConvTranspose of a row": one_node("ConvTranspose", [[1, 4, 9]], [weight(4, 2, 2)]),
    "Gemm": one_node("Gemm", [[1, 7]], [weight(7, 3), weight(3)]),
    "Gemm, transposed": one_node("Gemm", [[1, 7]], [weight(3, 7), weight(1, 3)], transB=1),
    "Gemm, no bias": one_node("Gemm", [[1, 7]], [weight(3, 7)], transB=1),
    "MatMul": one_node("MatMul", [[1, 5, 7]], [weight(7, 3)]),
    "MatMul of two": one_node("MatMul", [[1, 2, 5, 7], [1, 2, 7, 3]]),
    "Add": one_node("Add", TWO),
    "Add, constant": one_node("Add", constants=[weight(1, 4, 1, 1)]),
    "Sub": one_node("Sub", [PICTURE, [1, 4, 1, 1]]),
    "Mul": one_node("Mul", [PICTURE, [1, 1, 6, 8]]),
    "Div": one_node("Div", constants=[np.float32(3.0)]),
    "Max": one_node("Max", (*TWO, PICTURE)),
    "Min": one_node("Min", TWO, [np.float32(0.25)]),
    "Concat": one_node("Concat", TWO, axis=1),
    "Concat, constant": one_node("Concat", constants=[weight(1, 2, 6, 8)], axis=1),
    "Relu": one_node("Relu"),
    "Clip": one_node("Clip", constants=[np.float32(-0.5), np.float32(0.75)]),
    "Clip above": one_node("Clip", constants=[None, np.float32(0.75)]),
    "Clip by attributes": one_node("Clip", opset=6, min=-0.5, max=0.5),
    "PRelu": one_node("PRelu", constants=[weight(4, 1, 1)]),
    "LeakyRelu": one_node("LeakyRelu", alpha=0.2),
    "Sigmoid": one_node("Sigmoid"),
    "Tanh": one_node("Tanh"),
    "HardSigmoid": one_node("HardSigmoid", alpha=0.3),
    "HardSwish": one_node("HardSwish"),
    "Softmax": one_node("Softmax", axis=1),
    "MaxPool": one_node("MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 1]),
    "MaxPool, dilated": one_node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
    "AveragePool": one_node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool with pads": one_node("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "GlobalAveragePool": one_node("GlobalAveragePool"),
    "GlobalMaxPool": one_node("GlobalMaxPool"),
    "ReduceMean": one_node("ReduceMean", axes=[2, 3], keepdims=0),
    "ReduceMean, axes as input": one_node("ReduceMean", constants=[whole(-1)], opset=18),
    "Reshape": one_node("Reshape", constants=[whole(1, 2, -1, 8)]),
    "Reshape, sizes kept": one_node("Reshape", constants=[whole(0, 0, -1)]),
    "Reshape, batch left open": one_node("Reshape", constants=[whole(-1, 192)]),
    "Flatten": one_node("Flatten"),
    "Squeeze": one_node("Squeeze", [[1, 4, 1, 1]], [whole(2, 3)]),
    "Unsqueeze": one_node("Unsqueeze", [[1, 4]], [whole(-1, 2)]),
    "Transpose": one_node("Transpose", perm=[0, 2, 3, 1]),
    "Identity": one_node("Identity"),
    "Slice": one_node("Slice", constants=[whole(1, 0), whole(-1, 2**31 - 1), whole(2, 3), whole(1, 2)]),
    "Slice, backwards": one_node("Slice", constants=[whole(-1), whole(-(2**63) + 1), whole(1), whole(-1)]),
    "Split": one_node("Split", constants=[whole(1, 3)], outputs=2, axis=1),
    "Split, evenly": one_node("Split", outputs=2, axis=3),
    "Resize": one_node("Resize", constants=[None, np.array([1, 1, 2, 3], dtype=np.float32)], mode="nearest"),
    "Resize, linear": one_node("Resize", constants=[None, None, whole(1, 4, 9, 5)], mode="linear"),
    "Resize, corners": one_node(
        "Resize",
        constants=[None, None, whole(1, 4, 9, 16)],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    "Pad": one_node("Pad", constants=[whole(0, 0, 1, 2, 0, 1, 0, 3), np.float32(0.5)]),
    "DepthToSpace": one_node("DepthToSpace", [[1, 8, 3, 2]], blocksize=2),
    "DepthToSpace, CRD": one_node("DepthToSpace", [[1, 8, 3, 2]], blocksize=2, mode="CRD"),
    "SpaceToDepth": one_node("SpaceToDepth", [[1, 3, 4, 6]], blocksize=2),
}


def run_torch(model, feeds):
    graph = Graph(model)
    constants = {name: graph.constant(name) for name in graph.constants}
    values = {name: torch.from_numpy(value) for name, value in feeds.items()}
    for each in graph.nodes:
        run_node(each, values, constants, None)
    return [values[name].numpy() for name in graph.outputs]


def batch_of(model, count=3):
    rng = np.random.default_rng(1)
    shapes = {info.name: [d.dim_value for d in info.type.tensor_type.shape.dim] for info in model.graph.input}
    return {name: rng.normal(0, 1, [count, *shape[1:]]).astype(np.float32) for name, shape in shapes.items()}


def test_every_operator_has_a_case():
    assert {model.graph.node[0].op_type for model in CASES.values()} == {
        name for name, operator in ONNX_OPERATORS.items() if operator.torch
    }


@pytest.mark.parametrize("name", CASES)
def test_a_batch_equals_onnx_runtime_picture_by_picture(name):
    model, feeds = CASES[name], batch_of(CASES[name])
    singles = [run_onnx(model, {key: value[i : i + 1] for key, value in feeds.items()}) for i in range(3)]
    for actual, expected in zip(run_torch(model, feeds), zip(*singles, strict=True), strict=True):
        np.testing.assert_allclose(actual, np.concatenate(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (one_node("Erf"), "Erf is not covered"),
        (one_node("Conv", constants=[weight(5, 4, 3, 3)], auto_pad="SAME_UPPER"), "Conv is not covered with auto_pad"),
        (one_node("MaxPool", kernel_shape=[2, 2], ceil_mode=1), "MaxPool is not covered in this form"),
        (one_node("MaxPool", [[1, 4, 9]], kernel_shape=[2]), "MaxPool is not covered in this form"),
        (one_node("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]), "AveragePool is not covered in this form"),
        (one_node("ConvTranspose", constants=[weight(4, 3, 3, 3)], pads=[0, 0, 1, 1]), "pads that are not symmetric"),
        (one_node("Gemm", [[1, 7]], [weight(7, 3)], alpha=2.0), "transposes its input or scales its result"),
        (one_node("Reshape", constants=[whole(2, 96)]), "Reshape is not covered in this form"),
        (one_node("Flatten", axis=2), "Flatten is not covered in this form"),
        (one_node("Squeeze", [[1, 4, 1]]), "Squeeze is not covered without axes"),
        (one_node("ReduceMean", axes=[0]), "ReduceMean is not covered in this form"),
        (one_node("Resize", constants=[None, None, whole(1, 4, 9, 5)], mode="cubic"), "Resize is not covered"),
        (one_node("Pad", constants=[whole(0, 0, 1, 1, 0, 0, 1, 1)], mode="reflect"), "Pad is not covered in this form"),
        (one_node("Clip", [PICTURE, []]), "Clip is not covered with settings that are computed"),
    ],
)
def test_forms_that_are_not_covered_are_named(model, said):
    with pytest.raises(NotImplementedError, match=said):
        run_torch(model, batch_of(model))


def test_a_second_output_that_is_not_made_is_named():
    values = {"x": torch.zeros(2, 4, 4, 4)}
    run_node(node("MaxPool", ["x"], ["y", "where"], "pool", kernel_shape=[2, 2]), values, {}, None)
    with pytest.raises(NotImplementedError, match="Identity has the input 'where', which is not computed here"):
        run_node(node("Identity", ["where"], ["z"], "consumer"), values, {}, None)


def test_a_weight_that_is_handed_in_takes_the_place_of_the_nodes_own():
    values = {"x": torch.ones(2, 3)}
    constants = {"w": np.ones((3, 2), dtype=np.float32), "b": np.ones(2, dtype=np.float32)}
    tensors = torch.full((3, 2), 2.0), torch.tensor([10.0, 20.0])
    run_node(node("Gemm", ["x", "w", "b"], ["y"], "fc"), values, constants, tensors)
    np.testing.assert_array_equal(values["y"].numpy(), [[16.0, 26.0]] * 2)
    run_node(node("MatMul", ["x", "w"], ["z"], "product"), values, constants, (tensors[0], None))
    np.testing.assert_array_equal(values["z"].numpy(), np.full((2, 2), 6.0))
