import pytest
from onnx import TensorProto, helper

from stages.core.base.errors import UserError
from stages.export.cut import Cut, find_cut, without_outputs
from stages.export.shapes import fix_shapes
from tests.export.graphs import graph_model, node, single_input
from tests.networks import tiny_classifier


def test_other_inputs_that_the_outputs_need_stay():
    nodes = [node("Relu", ["a"], ["r"], "active"), node("Add", ["r", "b"], ["y"], "sum")]
    model = graph_model(nodes, {"a": [1, 4], "b": [1, 4]}, ["y"])
    assert find_cut(model, ["r"], []) == Cut(inputs=["r", "b"], outputs=["y"], configured=["r"])
    assert find_cut(model, [None], ["active"]) == Cut(inputs=["a"], outputs=["r"], configured=[None])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["image"], [], r"model\.inputs\[\]\.name: .*no tensor or node 'image'; did you mean 'images'\?"),
        ([None], ["logit"], r"model\.outputs: .*no tensor or node 'logit'; did you mean 'logits'\?"),
        ([None], ["depth_wise"], r"model\.outputs: .*did you mean 'depthwise'"),
        (["logits"], ["r1"], r"'logits' does not lead to the outputs r1"),
    ],
)
def test_unknown_or_useless_names_are_refused(inputs, outputs, message):
    with pytest.raises(UserError, match=message):
        find_cut(tiny_classifier(), inputs, outputs)


def test_an_input_that_only_the_bodies_of_an_if_take_leads_to_the_output():
    def body(kind):
        made = helper.make_tensor_value_info("made", TensorProto.FLOAT, [1, 2])
        return helper.make_graph([helper.make_node(kind, ["x"], ["made"])], kind, [], [made])

    node = helper.make_node("If", ["which"], ["y"], "if", then_branch=body("Relu"), else_branch=body("Neg"))
    fed = [("x", TensorProto.FLOAT, [1, 2]), ("which", TensorProto.BOOL, [])]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(*each) for each in fed],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert find_cut(model, ["x"], []).inputs == ["x", "which"]
    with pytest.raises(UserError, match="input 'which' is bool, and inputs are float"):
        fix_shapes(model, {"x": None})


def test_a_network_of_nothing_is_refused():
    with pytest.raises(UserError, match="'x' is an input: there is no network in between"):
        find_cut(single_input(), [None], ["x"])


def test_an_output_given_twice_is_returned_once():
    assert find_cut(single_input(), [None], ["y", "same"]).outputs == ["y"]


def test_outputs_that_nothing_computes_are_left_out():
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], "relu"),
        helper.make_node("Shape", ["x"], ["sizes"], "shape"),
        helper.make_node("Cast", ["sizes"], ["numbers"], "cast", to=1),
    ]
    model = graph_model(nodes, {"x": [1, 3]}, ["x", "y", "k", "numbers"], {"k": [1.0]})
    cut = find_cut(model, [None], [])
    assert (cut.outputs, cut.left_out) == (["y"], ["x", "k", "numbers"])
    assert [info.name for info in without_outputs(model, cut.left_out).graph.output] == ["y"]
    assert len(model.graph.output) == 4


def test_a_network_without_an_output_that_is_computed_is_refused():
    model = graph_model([helper.make_node("Relu", ["x"], ["y"], "relu")], {"x": [1, 3]}, ["x", "k"], {"k": [1.0]})
    with pytest.raises(UserError, match="the network's outputs, x, k, are inputs or constants: nothing computes them"):
        find_cut(model, [None], [])
