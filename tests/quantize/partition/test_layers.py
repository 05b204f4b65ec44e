import numpy as np
import onnx
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import OperatorGroup, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.quantize.partition.layers import find_layers, first_and_last_layers, head_layers
from tests.export.graphs import graph_model, node
from tests.networks import tiny_classifier

PICTURE = {"x": [1, 4, 6, 6]}
WEIGHT = {"w": np.ones((4, 4, 1, 1)), "low": np.float32(0), "high": np.float32(6)}


def soc(*kinds, fused=("Relu", "Clip")):
    known = kinds or ("Silu", "HardSwish")
    return SocConfig(
        name="S1", fused_activations=list(fused), operators={kind: OperatorGroup([kind], [8]) for kind in known}
    )


def graph_of(nodes, outputs=("y",), inputs=None, constants=None, opset=17):
    model = graph_model(nodes, inputs or PICTURE, list(outputs), WEIGHT | (constants or {}), opset)
    return Graph(onnx.shape_inference.infer_shapes(model))


def layers_of(nodes, outputs=("y",), chip=None, **rest):
    """Kind and nodes of each layer."""
    return [(layer.kind, layer.names) for layer in find_layers(graph_of(nodes, outputs, **rest), chip or soc())]


CONV = node("Conv", ["x", "w"], ["c"], "conv")
RELU = node("Relu", ["c"], ["y"], "relu")
CLIP = node("Clip", ["c", "low", "high"], ["y"], "clip")
SIGMOID = node("Sigmoid", ["x"], ["s"], "sigmoid")
HARD = node("HardSigmoid", ["x"], ["s"], "hard")


# --- what is fused


@pytest.mark.parametrize(
    ("nodes", "layers"),
    [
        ([CONV, RELU], [("Conv", ["conv", "relu"])]),
        ([CONV, CLIP], [("Conv", ["conv", "clip"])]),
        ([CONV, node("Clip", ["c", "", "high"], ["y"], "clip")], [("Conv", ["conv", "clip"])]),
        ([CONV, node("Clip", ["c"], ["y"], "clip")], [("Conv", ["conv", "clip"])]),
        ([node("ConvTranspose", ["x", "w"], ["c"], "up"), RELU], [("ConvTranspose", ["up", "relu"])]),
        ([node("MatMul", ["x", "x"], ["c"], "product"), RELU], [("MatMul", ["product", "relu"])]),
        ([node("Add", ["x", "x"], ["c"], "sum"), RELU], [("Add", ["sum", "relu"])]),
        ([node("Sub", ["x", "low"], ["c"], "less"), CLIP], [("Sub", ["less", "clip"])]),
        ([SIGMOID, node("Mul", ["x", "s"], ["y"], "mul")], [("Silu", ["sigmoid", "mul"])]),
        ([SIGMOID, node("Mul", ["s", "x"], ["y"], "mul")], [("Silu", ["sigmoid", "mul"])]),
        ([HARD, node("Mul", ["x", "s"], ["y"], "mul")], [("HardSwish", ["hard", "mul"])]),
        ([HARD, node("Mul", ["s", "x"], ["y"], "mul")], [("HardSwish", ["hard", "mul"])]),
    ],
)
def test_two_nodes_that_are_one_layer(nodes, layers):
    assert layers_of(nodes) == layers


def test_a_depthwise_convolution_keeps_its_kind_when_fused():
    nodes = [node("Conv", ["x", "d"], ["c"], "conv", group=4), RELU]
    assert layers_of(nodes, constants={"d": np.ones((4, 1, 1, 1))}) == [("DepthwiseConv", ["conv", "relu"])]


@pytest.mark.parametrize("fused", [("Clip",), ()])
def test_an_activation_that_the_soc_does_not_fuse_is_a_layer_of_its_own(fused):
    assert layers_of([CONV, RELU], chip=soc(fused=fused)) == [("Conv", ["conv"]), ("Relu", ["relu"])]


@pytest.mark.parametrize("activation", ["LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "Softmax"])
def test_an_activation_that_is_no_clamp_is_a_layer_of_its_own(activation):
    chip = soc(fused=("Relu", "Clip", activation))
    nodes = [CONV, node(activation, ["c"], ["y"], "active")]
    assert layers_of(nodes, chip=chip) == [("Conv", ["conv"]), (activation, ["active"])]


@pytest.mark.parametrize("kind", ["Mul", "Max", "Concat", "GlobalAveragePool", "MaxPool"])
def test_a_clamp_behind_an_operator_without_one_is_a_layer_of_its_own(kind):
    attributes = {"Concat": {"axis": 1}, "MaxPool": {"kernel_shape": [2, 2]}}.get(kind, {})
    takes = ["x"] if "Pool" in kind else ["x", "x"]
    assert layers_of([node(kind, takes, ["c"], "op", **attributes), RELU]) == [(kind, ["op"]), ("Relu", ["relu"])]


def test_only_the_first_of_two_clamps_is_fused():
    nodes = [CONV, node("Relu", ["c"], ["r"], "relu"), node("Clip", ["r", "low", "high"], ["y"], "clip")]
    assert layers_of(nodes) == [("Conv", ["conv", "relu"]), ("Clip", ["clip"])]


@pytest.mark.parametrize("second", [RELU, CLIP], ids=["relu", "clip"])
def test_a_tensor_that_another_node_takes_is_not_hidden(second):
    nodes = [CONV, second, node("Erf", ["c"], ["z"], "other")]
    assert [names for _, names in layers_of(nodes, ("y", "z"))] == [["conv"], [second.name], ["other"]]


def test_a_tensor_that_is_an_output_is_not_hidden():
    assert len(layers_of([CONV, RELU], ("y", "c"))) == 2
    assert len(layers_of([SIGMOID, node("Mul", ["x", "s"], ["y"], "mul")], ("y", "s"))) == 2


def test_a_clamp_with_computed_bounds_is_not_fused():
    nodes = [CONV, node("ReduceMax", ["x"], ["top"], "top", keepdims=0), node("Clip", ["c", "", "top"], ["y"], "clip")]
    assert [names for _, names in layers_of(nodes)] == [["conv"], ["top"], ["clip"]]


def test_a_gate_that_another_node_takes_is_not_hidden():
    nodes = [SIGMOID, node("Mul", ["x", "s"], ["y"], "mul"), node("Erf", ["s"], ["z"], "other")]
    assert [kind for kind, _ in layers_of(nodes, ("y", "z"))] == ["Sigmoid", "Mul", "Erf"]


@pytest.mark.parametrize("operands", [["z", "s"], ["s", "s"]])
def test_a_gate_of_something_else_is_a_product(operands):
    nodes = [SIGMOID, node("Mul", operands, ["y"], "mul")]
    actual = layers_of(nodes, inputs=PICTURE | {"z": [1, 4, 6, 6]})
    assert actual == [("Sigmoid", ["sigmoid"]), ("Mul", ["mul"])]


def test_a_gate_that_the_soc_does_not_know_is_a_product():
    nodes = [SIGMOID, node("Mul", ["x", "s"], ["y"], "mul")]
    assert layers_of(nodes, chip=soc("HardSwish", "Sigmoid", "Mul")) == [("Sigmoid", ["sigmoid"]), ("Mul", ["mul"])]


def test_layers_of_a_network_in_the_order_of_their_last_nodes():
    graph = Graph(tiny_classifier())
    assert [(layer.kind, layer.name, layer.inner) for layer in find_layers(graph, soc())] == [
        ("Conv", "stem_relu", ["c1"]), ("DepthwiseConv", "depthwise_relu6", ["c2"]), ("Conv", "project", []),
        ("Add", "residual", []), ("GlobalAveragePool", "pool", []), ("Flatten", "flatten", []), ("Gemm", "fc", []),
    ]  # fmt: skip


def test_nodes_between_the_two_do_not_matter():
    nodes = [CONV, node("Erf", ["x"], ["e"], "other"), RELU, node("Add", ["e", "y"], ["z"], "sum")]
    assert layers_of(nodes, ("z",)) == [("Erf", ["other"]), ("Conv", ["conv", "relu"]), ("Add", ["sum"])]


# --- operands


@pytest.mark.parametrize(
    ("nodes", "operands"),
    [
        ([node("Conv", ["x", "w"], ["y"], "n")], ["x"]),
        ([node("Add", ["x", "low"], ["y"], "n")], ["x", "low"]),
        ([node("Sub", ["low", "x"], ["y"], "n")], ["low", "x"]),
        ([node("Clip", ["x", "low", "high"], ["y"], "n")], ["x"]),
        ([node("PRelu", ["x", "low"], ["y"], "n")], ["x"]),
        ([SIGMOID, node("Mul", ["s", "x"], ["y"], "n")], ["x"]),
        ([node("MatMul", ["x", "x"], ["y"], "n")], ["x", "x"]),
    ],
)
def test_operands_are_features_and_constants_that_are_coded_like_them(nodes, operands):
    graph = graph_of(nodes)
    (layer,) = find_layers(graph, soc())
    assert layer.operands(graph) == operands


# --- a detector's head


def detector():
    """A backbone of two layers and three branches: convolution, activation, last convolution, decoding; one Concat."""
    nodes = [
        node("Conv", ["x", "w"], ["b1"], "back1"),
        node("Relu", ["b1"], ["b2"], "back1_relu"),
        node("Conv", ["b2", "w"], ["b3"], "back2"),
    ]
    for i in "012":
        nodes += [
            node("Conv", ["b3", "w"], [f"p{i}"], f"neck{i}"),
            node("Sigmoid", [f"p{i}"], [f"g{i}"], f"gate{i}"),
            node("Mul", [f"p{i}", f"g{i}"], [f"m{i}"], f"silu{i}"),
            node("Conv", [f"m{i}", "w"], [f"l{i}"], f"last{i}"),
            node("Sigmoid", [f"l{i}"], [f"s{i}"], f"decode{i}"),
        ]
    nodes.append(node("Concat", ["s0", "s1", "s2"], ["y"], "joined", axis=1))
    return graph_of(nodes)


def test_the_head_is_the_last_convolutions_and_all_after_them():
    graph = detector()
    actual = head_layers(graph, find_layers(graph, soc()))
    assert actual == {"joined", *(f"{kind}{i}" for kind in ("last", "decode") for i in "012")}


def test_the_head_of_several_outputs():
    nodes = [CONV, node("Relu", ["c"], ["r"], "relu"), node("Conv", ["r", "w"], ["y"], "one")]
    nodes += [node("Conv", ["r", "w"], ["t"], "two"), node("Erf", ["t"], ["z"], "erf")]
    graph = graph_of(nodes, ("y", "z"))
    assert head_layers(graph, find_layers(graph, soc())) == {"one", "two", "erf"}


def test_a_fused_last_convolution_is_in_the_head_as_a_whole():
    graph = graph_of([CONV, RELU])
    assert head_layers(graph, find_layers(graph, soc())) == {"relu"}


def test_the_head_of_a_network_without_weights_is_all_of_it():
    graph = graph_of([node("Relu", ["x"], ["r"], "one"), node("Erf", ["r"], ["y"], "two")])
    assert head_layers(graph, find_layers(graph, soc())) == {"one", "two"}


def test_an_early_branch_ends_at_its_own_last_convolution():
    """A skip connection into the decoding: its convolution is a last one too, though others follow on another way."""
    nodes = [CONV, node("Conv", ["c", "w"], ["d"], "second"), node("Add", ["c", "d"], ["y"], "sum")]
    graph = graph_of(nodes)
    assert head_layers(graph, find_layers(graph, soc())) == {"sum", "second", "conv"}


# --- the first and the last weighted layers


def first_and_last_of(graph):
    return first_and_last_layers(graph, find_layers(graph, soc()))


def test_first_and_last_are_named_by_the_last_node_of_a_fused_layer():
    assert first_and_last_of(Graph(tiny_classifier())) == {"stem_relu", "fc"}
    assert first_and_last_of(detector()) == {"back1_relu", "last0", "last1", "last2"}


def test_the_only_weighted_layer_is_both():
    assert first_and_last_of(graph_of([node("Relu", ["x"], ["r"], "one"), node("Conv", ["r", "w"], ["y"], "two")])) == {
        "two"
    }
    assert first_and_last_of(graph_of([node("Relu", ["x"], ["y"], "one")])) == set()


def test_every_input_and_every_output_has_its_own():
    nodes = [
        node("Conv", ["x", "w"], ["a"], "of_x"),
        node("MaxPool", ["z"], ["p"], "pool", kernel_shape=[1, 1]),
        node("Conv", ["p", "w"], ["b"], "of_z"),
        node("Add", ["a", "b"], ["s"], "sum"),
        node("Conv", ["s", "w"], ["m"], "middle"),
        node("Conv", ["m", "w"], ["y"], "end"),
        node("GlobalAveragePool", ["m"], ["g"], "mean"),
        node("Flatten", ["g"], ["f"], "flat"),
        node("Gemm", ["f", "square"], ["logits"], "fc"),
    ]
    graph = graph_of(nodes, ("y", "logits"), PICTURE | {"z": [1, 4, 6, 6]}, {"square": np.ones((4, 4))})
    assert first_and_last_of(graph) == {"of_x", "of_z", "end", "fc"}


def test_a_way_past_the_first_layer_leads_to_another_first_one():
    nodes = [CONV, node("Concat", ["x", "c"], ["j"], "joined", axis=1), node("Conv", ["j", "v"], ["d"], "second")]
    nodes.append(node("Conv", ["d", "w"], ["y"], "third"))
    assert first_and_last_of(graph_of(nodes, constants={"v": np.ones((4, 8, 1, 1))})) == {"conv", "second", "third"}


def test_a_way_past_the_last_layer_leads_to_another_last_one():
    nodes = [CONV, node("Conv", ["c", "w"], ["d"], "second"), node("Conv", ["d", "w"], ["e"], "third")]
    nodes.append(node("Add", ["d", "e"], ["y"], "sum"))
    assert first_and_last_of(graph_of(nodes)) == {"conv", "second", "third"}


def test_a_product_of_features_is_passed():
    nodes = [node("MatMul", ["x", "x"], ["m"], "square"), node("Conv", ["m", "w"], ["c"], "conv")]
    nodes += [node("Conv", ["c", "w"], ["d"], "second"), node("Conv", ["d", "w"], ["e"], "third")]
    nodes.append(node("MatMul", ["e", "e"], ["y"], "scores"))
    assert first_and_last_of(graph_of(nodes)) == {"conv", "third"}


def test_what_a_body_captures_is_no_inner_tensor():
    def branch(name, source):
        infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2, 4, 4])]
        return onnx.helper.make_graph([node("Neg", [source], [name], name)], name, [], infos)

    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("Relu", ["a"], ["b"], "b"),
        node("ReduceMax", ["b"], ["most"], "most", keepdims=0),
        node("Greater", ["most", "zero"], ["yes"], "yes"),
        node("If", ["yes"], ["y"], "y", then_branch=branch("one", "a"), else_branch=branch("two", "b")),
    ]
    graph = Graph(graph_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], {"w": np.ones((2, 2, 1, 1)), "zero": 0.0}))
    assert [layer.names for layer in find_layers(graph, soc())][:2] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("", ""), "the Conv that computes c has no name: run `dvc repro export`, which names all"),
        (("conv", ""), "the Relu that computes y has no name: run"),
        (("same", "same"), "the Relu that computes y has the name same, which another node has too: run"),
    ],
)
def test_nodes_without_names_of_their_own_are_refused(names, said):
    graph = graph_of([CONV, RELU])
    for each, name in zip(graph.nodes, names, strict=True):
        each.name = name
    with pytest.raises(UserError) as caught:
        find_layers(graph, soc())
    assert str(caught.value).startswith(said)
