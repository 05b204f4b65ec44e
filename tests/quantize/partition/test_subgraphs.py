import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.quantize.partition.layers import find_layers
from stages.quantize.partition.subgraphs import downstream_subgraph, find_blocks, layer_subgraphs, subgraph_model
from tests.export.graphs import graph_model, node
from tests.networks import soc_config, tiny_classifier

WEIGHT = np.random.default_rng(0).normal(0, 0.3, (4, 4, 3, 3)).astype(np.float32)
SAME = {"pads": [1, 1, 1, 1]}
PICTURE = {"x": np.random.default_rng(1).normal(0, 1, (1, 4, 8, 8)).astype(np.float32)}


def conv(source, target, **more):
    return node("Conv", [source, "w"], [target], target, **SAME | more)


def network(nodes, outputs, **constants):
    model = graph_model(nodes, {"x": [1, 4, 8, 8]}, outputs, {"w": WEIGHT} | constants)
    return Graph(onnx.shape_inference.infer_shapes(model))


def layers_of(graph):
    return find_layers(graph, soc_config("t40"))


def blocks(graph):
    """The blocks as lists of nodes' names."""
    return [[node.name for node in block.nodes] for block in find_blocks(graph, layers_of(graph))]


# --- every layer a subgraph


def test_a_piece_is_a_layer_and_names_what_it_takes_and_makes():
    graph = Graph(tiny_classifier())
    subgraphs = layer_subgraphs(graph, layers_of(graph))
    assert [(p.layers[0].names, p.inputs, p.outputs) for p in subgraphs] == [
        (["stem", "stem_relu"], ("images",), ("r1",)),
        (["depthwise", "depthwise_relu6"], ("r1",), ("r2",)),
        (["project"], ("r2",), ("c3",)),
        (["residual"], ("c3", "r1"), ("sum",)),
        (["pool"], ("sum",), ("pooled",)),
        (["flatten"], ("pooled",), ("flat",)),
        (["fc"], ("flat",), ("logits",)),
    ]


def test_an_output_of_the_network_that_is_taken_inside_leaves_its_piece():
    graph = network([conv("x", "a"), conv("a", "b"), node("Relu", ["a"], ["c"], "c")], ["a", "b", "c"])
    assert [(p.inputs, p.outputs) for p in layer_subgraphs(graph, layers_of(graph))] == [
        (("x",), ("a",)),
        (("a",), ("b",)),
        (("a",), ("c",)),
    ]


def test_what_nobody_takes_does_not_leave():
    graph = network([conv("x", "a"), node("Relu", ["x"], ["dead"], "dead")], ["a"])
    assert [p.outputs for p in layer_subgraphs(graph, layers_of(graph))] == [("a",), ()]


def branch(name, value):
    """A body that returns a tensor from outside."""
    return helper.make_graph(
        [node("Mul", [value, "two"], [name], name)],
        name,
        [],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8])],
    )


def with_if():
    """The convolution's own result is captured, its Relu too: they cannot be one layer."""
    choice = node("If", ["yes"], ["y"], "choice", then_branch=branch("then", "a"), else_branch=branch("otherwise", "b"))
    reduced = node("ReduceSum", ["x"], ["total"], "total", keepdims=0)
    greater = node("Greater", ["total", "two"], ["yes"], "yes")
    return network([conv("x", "a"), node("Relu", ["a"], ["b"], "b"), reduced, greater, choice], ["y"], two=2.0)


def test_what_a_body_captures_is_an_input():
    graph = with_if()
    subgraphs = {p.layers[-1].name: p for p in layer_subgraphs(graph, layers_of(graph))}
    assert (subgraphs["a"].outputs, subgraphs["b"].outputs) == (("a",), ("b",))
    assert set(subgraphs["choice"].inputs) == {"yes", "a", "b"}


def test_a_tensor_of_unknown_rank_stays_inside():
    # the length of `shape` is known, so is not the rank of what Reshape makes with a computed shape of unknown length
    nodes = [
        conv("x", "a"),
        node("NonZero", ["a"], ["places"], "places"),
        node("Shape", ["places"], ["size"], "size"),
        node("Range", ["zero", "one", "one"], ["count"], "count"),
        node("Compress", ["size", "both"], ["some"], "some", axis=0),
        node("Reshape", ["a", "some"], ["odd"], "odd"),
        node("Relu", ["odd"], ["positive"], "positive"),
        node("Reshape", ["positive", "flat"], ["y"], "y"),
    ]
    model = graph_model(
        nodes, {"x": [1, 4, 8, 8]}, ["y"], {"w": WEIGHT, "flat": np.int64([1, -1]), "zero": 0, "one": 1}
    )
    model.graph.initializer.append(helper.make_tensor("both", TensorProto.BOOL, [2], [True, True]))
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    assert not graph.types["odd"].tensor_type.HasField("shape")
    subgraphs = layer_subgraphs(graph, layers_of(graph))
    assert [[layer.name for layer in p.layers] for p in subgraphs if len(p.layers) > 1] == [["odd", "positive", "y"]]
    for subgraph in subgraphs:
        onnx.checker.check_model(subgraph_model(graph, subgraph))


# --- a subgraph as a model


def run_by_pieces(graph, subgraphs, feeds):
    values = dict(feeds)
    for subgraph in subgraphs:
        model = subgraph_model(graph, subgraph)
        onnx.checker.check_model(model)
        if subgraph.outputs:
            values |= Runner(model).run({name: values[name] for name in subgraph.inputs})
    return values


def with_computed_row():
    shaped = node("ConstantOfShape", ["one_row"], ["row"], "row")
    return network([conv("x", "a"), shaped, node("Add", ["a", "row"], ["y"], "y")], ["y"], one_row=np.int64([8]))


@pytest.mark.parametrize("find", [layer_subgraphs, find_blocks])
@pytest.mark.parametrize(
    "make", [lambda: Graph(tiny_classifier()), with_if, with_computed_row], ids=["tiny", "if", "row"]
)
def test_the_pieces_one_after_the_other_are_the_network(make, find):
    graph = make()
    (name,) = graph.inputs
    feeds = {name: np.random.default_rng(2).normal(0, 1, graph.shapes[name]).astype(np.float32)}
    values = run_by_pieces(graph, find(graph, layers_of(graph)), feeds)
    for output, expected in Runner(graph.model).run(feeds).items():
        np.testing.assert_allclose(values[output], expected, rtol=1e-5, atol=1e-6)


def test_boundaries_have_their_own_types():
    nodes = [
        conv("x", "a"),
        node("Shape", ["a"], ["size"], "size"),
        node("Mul", ["size", "factor"], ["shape"], "shape"),
        node("Cast", ["a"], ["signs"], "signs", to=TensorProto.BOOL),
        node("Where", ["signs", "a", "one"], ["chosen"], "chosen"),
        node("Reshape", ["chosen", "shape"], ["y"], "y"),
    ]
    graph = network(nodes, ["y"], factor=np.int64([1, 1, 1, 1]), one=1.0)
    subgraphs = layer_subgraphs(graph, layers_of(graph))
    kinds = {
        info.name: info.type.tensor_type.elem_type
        for subgraph in subgraphs
        for info in subgraph_model(graph, subgraph).graph.output
    }
    assert kinds == {
        "a": TensorProto.FLOAT,
        "size": TensorProto.INT64,
        "shape": TensorProto.INT64,
        "signs": TensorProto.BOOL,
        "chosen": TensorProto.FLOAT,
        "y": TensorProto.FLOAT,
    }
    values = run_by_pieces(graph, subgraphs, PICTURE)
    np.testing.assert_allclose(values["y"], Runner(graph.model).run(PICTURE)["y"], rtol=1e-5, atol=1e-6)


# --- blocks


def test_layers_without_shortcuts_are_blocks_of_four():
    graph = network([conv("x" if i == 0 else f"c{i - 1}", f"c{i}") for i in range(9)], ["c8"])
    assert blocks(graph) == [["c0", "c1", "c2", "c3"], ["c4", "c5", "c6", "c7"], ["c8"]]


def test_a_block_ends_where_least_is_handed_over():
    # 4 x 8 x 8 values, then 4 x 4 x 4, then 4 x 8 x 8 again by a transposed convolution: it ends at the narrow place
    narrow = [conv("x", "a"), conv("a", "b", strides=[2, 2])]
    wide = [
        node("ConvTranspose", ["b", "up"], ["c"], "c", strides=[2, 2]),
        conv("c", "d"),
        conv("d", "e"),
    ]
    graph = network(narrow + wide, ["e"], up=np.ones((4, 4, 2, 2)))
    assert blocks(graph) == [["a", "b"], ["c", "d", "e"]]


def residual(source, name):
    return [conv(source, f"{name}1"), conv(f"{name}1", f"{name}2"), node("Add", [source, f"{name}2"], [name], name)]


def test_a_residual_block_stays_whole():
    graph = network([conv("x", "s"), *residual("s", "p"), *residual("p", "q")], ["q"])
    assert blocks(graph) == [["s", "p1", "p2", "p"], ["q1", "q2", "q"]]


def test_a_long_arm_does_not_hold_a_block_together():
    # `a` is taken again after ten convolutions: a pyramid's arm, kept beside the blocks between
    chain = [conv("a" if i == 0 else f"c{i - 1}", f"c{i}") for i in range(10)]
    graph = network([conv("x", "a"), *chain, node("Add", ["a", "c9"], ["y"], "y")], ["y"])
    actual = find_blocks(graph, layers_of(graph))
    assert max(sum(node.op_type == "Conv" for node in block.nodes) for block in actual) <= 6
    assert [name for block in actual for name in (node.name for node in block.nodes)] == [n.name for n in graph.nodes]
    assert "a" in actual[0].outputs
    assert "a" in actual[-1].inputs


def test_what_pools_to_a_vector_is_not_learned_with_what_comes_before():
    nodes = [
        conv("x", "a"),
        conv("a", "b"),
        node("GlobalAveragePool", ["b"], ["p"], "p"),
        node("Flatten", ["p"], ["f"], "f"),
        node("Gemm", ["f", "fc"], ["y"], "y", transB=1),
    ]
    graph = network(nodes, ["y"], fc=np.ones((3, 4)))
    assert blocks(graph) == [["a", "b"], ["p", "f", "y"]]


def test_networks_of_several_outputs_are_cut_all_the_same():
    stem = [conv("x" if i == 0 else f"c{i - 1}", f"c{i}") for i in range(6)]
    graph = network([*stem, conv("c3", "u"), conv("c5", "v")], ["u", "v", "c5"])
    actual = find_blocks(graph, layers_of(graph))
    assert [node.name for block in actual for node in block.nodes] == [n.name for n in graph.nodes]
    assert len(actual) > 1
    values = run_by_pieces(graph, actual, PICTURE)
    for output, expected in Runner(graph.model).run(PICTURE).items():
        np.testing.assert_allclose(values[output], expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_nobody_takes_does_not_stop_the_cutting():
    graph = network([conv("x", "a"), node("Relu", ["x"], ["dead"], "dead"), conv("a", "b")], ["b"])
    assert [name for block in blocks(graph) for name in block] == ["a", "dead", "b"]


# --- what a tensor reaches


def test_the_rest_is_what_a_tensor_reaches_and_takes_the_other_branch_from_before():
    graph = Graph(tiny_classifier())
    rest = downstream_subgraph(graph, layers_of(graph), "r2")
    assert [layer.name for layer in rest.layers] == ["project", "residual", "pool", "flatten", "fc"]
    assert sorted(rest.inputs) == ["r1", "r2"]
    assert rest.outputs == ("logits",)


def test_the_rest_leaves_out_a_branch_that_is_not_reached():
    nodes = [conv("x", "a"), conv("x", "b"), node("Sigmoid", ["a"], ["c"], "c"), node("Add", ["c", "b"], ["d"], "d")]
    graph = network(nodes, ["d", "b"])
    rest = downstream_subgraph(graph, layers_of(graph), "a")
    assert [layer.name for layer in rest.layers] == ["c", "d"]
    assert sorted(rest.inputs) == ["a", "b"]
    assert rest.outputs == ("d",)


def test_the_rest_of_an_output_that_nothing_takes_is_empty():
    graph = Graph(tiny_classifier())
    rest = downstream_subgraph(graph, layers_of(graph), "logits")
    assert (rest.layers, rest.inputs, rest.outputs) == ((), (), ())


def test_the_rest_computes_what_the_whole_network_does():
    graph = Graph(tiny_classifier())
    picture = {"images": np.random.default_rng(3).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}
    shown = onnx.ModelProto()
    shown.CopyFrom(graph.model)
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("r1", "r2"))
    values = Runner(shown).run(picture)
    rest = downstream_subgraph(graph, layers_of(graph), "r2")
    again = Runner(subgraph_model(graph, rest)).run({name: values[name] for name in rest.inputs})
    np.testing.assert_allclose(again["logits"], values["logits"], rtol=1e-5, atol=1e-6)
