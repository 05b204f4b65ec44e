import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.export.sources.tensorflow_names import name_nodes


def named(nodes, constants=()):
    """The names of some nodes afterwards; a node is its type, name, inputs and output."""
    built = [helper.make_node(kind, inputs, [output], name) for kind, name, inputs, output in nodes]
    values = [numpy_helper.from_array(np.zeros(1, np.float32), name) for name in constants]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, None)] for name in (nodes[0][2][0], nodes[-1][3])]
    model = helper.make_model(helper.make_graph(built, "net", *ends, values))
    name_nodes(model)
    return [node.name for node in model.graph.node]


def test_a_layer_keeps_its_name_and_what_was_added_to_it_ends_with_its_type():
    nodes = [
        ("Transpose", "net/conv/Conv2D__8", ["x"], "net/conv/Conv2D__8:0"),
        ("Conv", "net/conv/Conv2D", ["net/conv/Conv2D__8:0", "w"], "net/bn/FusedBatchNorm:0"),
        ("Transpose", "net/conv/Conv2D__9", ["net/bn/FusedBatchNorm:0"], "y:0"),
        ("Transpose", "net/conv/Conv2D__10", ["y:0"], "z:0"),
    ]
    layer = "net/conv/Conv2D"
    assert named(nodes, ["w"]) == [f"{layer}/Transpose", layer, f"{layer}/Transpose_2", f"{layer}/Transpose_3"]


def test_of_fused_operators_the_first_name_is_the_layers():
    joined = "net/re_lu/Relu6;net/bn/FusedBatchNorm;net/conv/Conv2D"
    nodes = [
        ("Conv", joined, ["x", "w"], joined),
        ("Clip", "Relu6__11", [joined], "Relu6__11:0"),
        ("Conv", "net/conv_1/Conv2D;net/conv_2/Conv2D1", ["Relu6__11:0", "w"], "y"),
    ]
    assert named(nodes, ["w"]) == ["net/re_lu/Relu6/Conv", "net/re_lu/Relu6", "net/conv_1/Conv2D"]


@pytest.mark.parametrize(
    ("weight", "taken", "name"),
    [
        ("net/conv/convolution/merged_input:0", "x", "net/conv/convolution"),
        ("const_fold_opt__5", "net/conv/Conv2D__6:0", "net/conv/Conv2D"),
        ("Func/PartitionedCall/input/_2:0", "x", "net/act/Relu/Conv"),
    ],
    ids=["its weight", "its input", "what follows"],
)
def test_a_node_without_a_layer_is_called_after_its_neighbours(weight, taken, name):
    nodes = [
        ("Conv", "Conv__84", [taken, weight], "Conv__84:0"),
        ("Relu", "StatefulPartitionedCall/PartitionedCall_1/net/act/Relu", ["Conv__84:0"], "y:0"),
    ]
    assert named(nodes, [weight]) == [name, "net/act/Relu"]


def test_a_short_name_without_a_number_is_a_layers():
    """`input`, `sub`: TensorFlow 1 and TFLite have layers without folders."""
    nodes = [("Sub", "sub", ["x", "c"], "sub:0"), ("Relu", "activation", ["sub:0"], "y")]
    assert named(nodes, ["c"]) == ["sub", "activation/Relu"]


def test_quantizers_leave_the_layers_name_to_the_layer():
    nodes = [
        ("QuantizeLinear", "net/re_lu/Relu6_prequant__3", ["x", "s"], "net/re_lu/Relu6_prequant__3:0"),
        ("DequantizeLinear", "net/re_lu/Relu6_prequant", ["net/re_lu/Relu6_prequant__3:0", "s"], "d"),
        ("Clip", "Relu6__11", ["net/re_lu/Relu6;net/bn/FusedBatchNorm"], "Relu6__11:0"),
        ("Gemm", "net/dense/MatMul_Gemm__20", ["Relu6__11:0", "w"], "y"),
    ]
    layer = "net/re_lu/Relu6"
    assert named(nodes, ["s", "w"]) == [
        f"{layer}/QuantizeLinear", f"{layer}/DequantizeLinear", layer, "net/dense/MatMul",
    ]  # fmt: skip
