import numpy as np
import onnx
import pytest
from onnx import helper

from stages.core.base.errors import UserError
from stages.export.canonical import canonicalize
from stages.export.cut import find_cut
from stages.export.shapes import fix_shapes, graph_shapes
from tests.export.graphs import graph_model, node, normalized_model, run_onnx, single_input
from tests.networks import tiny_classifier


def canonical(model, inputs=(None,), outputs=(), shapes=None):
    cut = find_cut(model, inputs, outputs)
    return canonicalize(fix_shapes(model, shapes or {}), cut)


def picture(*shape, seed=5):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


# --- simplification


def test_batch_normalization_is_folded_and_outputs_stay():
    source = normalized_model()
    exported = canonical(source)
    assert [entry.op_type for entry in exported.graph.node] == ["Conv", "Relu", "Conv"]
    feeds = {"x": picture(1, 3, 8, 8)}
    np.testing.assert_allclose(run_onnx(exported, feeds)[0], run_onnx(source, feeds)[0], atol=1e-4, rtol=0)


def test_a_source_stays_as_it_is():
    """The branch of an If whose condition is constant takes a weight of the main graph, which simplifying renames."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in ("a", "b")]
    scaled = [node("Slice", ["w", "first", "stop"], ["v"], "slice"), node("Mul", ["x", "v"], ["a"], "scaled")]
    then = helper.make_graph(scaled, "then", [], ends[:1])
    other = helper.make_graph([node("Div", ["x", "w"], ["b"], "divided")], "else", [], ends[1:])
    nodes = [
        node("Shape", ["x"], ["sizes"], "shape"),
        node("Size", ["sizes"], ["rank"], "size"),
        node("Equal", ["rank", "two"], ["flat"], "equal"),
        node("If", ["flat"], ["y"], "either", then_branch=then, else_branch=other),
    ]
    stored = {"two": np.array(2), "first": np.array([0]), "stop": np.array([3]), "w": [1.0, 2.0, 3.0]}
    source = fix_shapes(graph_model(nodes, {"x": [1, 3]}, ["y"], stored), {})
    before = source.SerializeToString(deterministic=True)
    exported = canonicalize(source, find_cut(source, [None], []))
    assert [entry.op_type for entry in exported.graph.node] == ["Mul"]
    assert source.SerializeToString(deterministic=True) == before


def test_constant_nodes_become_initializers():
    """The sizes of a Split among them, which no layer could read off a node."""
    sizes = helper.make_tensor("sizes", onnx.TensorProto.INT64, [2], [1, 3])
    nodes = [
        helper.make_node("Constant", [], ["parts"], "parts", value=sizes),
        node("Split", ["x", "parts"], ["a", "b"], "split", axis=1),
        node("Relu", ["a"], ["left"], "left"),
        node("Sigmoid", ["b"], ["right"], "right"),
    ]
    exported = canonical(graph_model(nodes, {"x": [1, 4, 3]}, ["left", "right"]))
    assert "Constant" not in {each.op_type for each in exported.graph.node}
    feeds = {"x": picture(1, 4, 3)}
    left, right = run_onnx(exported, feeds)
    np.testing.assert_allclose(left, np.maximum(feeds["x"][:, :1], 0))
    assert right.shape == (1, 3, 3)


def test_opset_below_13_is_raised():
    nodes = [
        node("Relu", ["x"], ["r"], "active"),
        node("ReduceSum", ["r"], ["s"], "sum", axes=[2], keepdims=1),
        node("Squeeze", ["s"], ["y"], "squeeze", axes=[2]),
    ]
    source = graph_model(nodes, {"x": [1, 3, 4]}, ["y"], opset=11)
    exported = canonical(source)
    assert [entry.version for entry in exported.opset_import if entry.domain == ""] == [13]
    value = picture(1, 3, 4)
    np.testing.assert_allclose(run_onnx(exported, {"x": value})[0], np.maximum(value, 0).sum(axis=2), rtol=1e-6)


def test_newer_opset_is_kept():
    assert canonical(tiny_classifier()).opset_import[0].version == 17


def test_checker_accepts_the_result():
    onnx.checker.check_model(canonical(normalized_model(batch="N")), full_check=True)


def test_same_bytes_twice():
    first, second = (canonical(normalized_model(batch="N")).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_documentation_and_metadata_are_stripped():
    source = normalized_model()
    marker = "/home/someone/secret"
    source.doc_string = source.graph.doc_string = marker
    onnx.helper.set_model_props(source, {"path": marker})
    for entry in source.graph.node:
        entry.doc_string = marker
        entry.metadata_props.add(key="stack", value=marker)
    assert marker.encode() not in canonical(source).SerializeToString()


def test_documentation_of_tensors_is_stripped():
    source = normalized_model()
    marker = "/home/someone/secret"
    source.graph.metadata_props.add(key="path", value=marker)
    for entry in (*source.graph.input, *source.graph.output, *source.graph.initializer):
        entry.doc_string = marker
    assert marker.encode() not in canonical(source).SerializeToString()


# --- names


def test_names_are_kept_where_the_tensor_is_the_same():
    names = {entry.output[0]: entry.name for entry in canonical(tiny_classifier()).graph.node}
    assert names == {entry.output[0]: entry.name for entry in tiny_classifier().graph.node}


def test_folded_convolution_has_the_name_of_what_made_its_tensor():
    exported = canonical(normalized_model())
    names = {entry.output[0]: entry.name for entry in exported.graph.node}
    assert names["n"] == "norm"
    assert names["r"] == "active"


def test_a_node_without_a_name_is_named_by_type_and_tensor():
    assert canonical(normalized_model()).graph.node[-1].name == "Conv_y"


@pytest.mark.parametrize(
    "names", [["same", "same", "same"], ["same", "same", "same_2"], ["Neg_t3", "other", ""], ["", "", ""]]
)
def test_every_node_has_a_name_of_its_own(names):
    kinds = ["Relu", "Exp", "Neg"]
    nodes = [
        node(kind, [f"t{i}"], [f"t{i + 1}"], name) for i, (kind, name) in enumerate(zip(kinds, names, strict=True))
    ]
    exported = canonical(graph_model(nodes, {"t0": [1, 4]}, ["t3"]), shapes={"t0": [1, 4]})
    found = [entry.name for entry in exported.graph.node]
    assert all(found)
    assert len(set(found)) == 3


# --- cuts


@pytest.mark.parametrize("name", ["sum", "residual"])
def test_cut_at_an_output_by_tensor_and_by_node(name):
    source = tiny_classifier()
    exported = canonical(source, outputs=[name])
    assert [entry.name for entry in exported.graph.output] == ["sum"]
    assert exported.graph.node[-1].name == "residual"
    feeds = {"images": picture(1, 3, 16, 16)}
    whole = onnx.ModelProto()
    whole.CopyFrom(source)
    whole.graph.output.append(onnx.ValueInfoProto(name="sum"))
    np.testing.assert_allclose(run_onnx(exported, feeds)[0], run_onnx(whole, feeds)[1], atol=1e-5)


@pytest.mark.parametrize("name", ["r1", "stem_relu"])
def test_cut_at_an_input_by_tensor_and_by_node(name):
    exported = canonical(tiny_classifier(), inputs=[name])
    assert graph_shapes(exported) == {"r1": [1, 8, 8, 8]}
    assert [entry.name for entry in exported.graph.node][:2] == ["depthwise", "depthwise_relu6"]


def test_cut_at_both_ends_with_a_dynamic_batch():
    exported = canonical(tiny_classifier(batch="N"), inputs=["r1"], outputs=["project"])
    assert graph_shapes(exported) == {"r1": [1, 8, 8, 8]}
    assert [entry.name for entry in exported.graph.node] == ["depthwise", "depthwise_relu6", "project"]


def test_several_outputs_keep_the_configured_order():
    exported = canonical(tiny_classifier(), outputs=["logits", "r2"])
    assert [entry.name for entry in exported.graph.output] == ["logits", "r2"]


def test_a_network_that_cannot_be_simplified_is_one_line():
    broken = graph_model([node("NoSuchOperator", ["x"], ["y"], "odd")], {"x": [1, 4]}, ["y"])
    with pytest.raises(UserError, match=r"^the network cannot be simplified: .+$"):
        canonicalize(broken, find_cut(broken, [None], []))


def test_an_operator_of_another_domain_is_refused():
    model = single_input()
    model.graph.node[0].domain = "acme"
    model.graph.node[0].op_type = "Magic"
    model.opset_import.append(helper.make_opsetid("acme", 1))
    with pytest.raises(UserError, match="cannot be"):
        canonicalize(fix_shapes(model, {"x": None}), find_cut(model, [None], []))


def test_constants_of_a_batch_norm_take_no_name_that_a_tensor_has() -> None:
    ones = np.ones(3)
    nodes = [
        node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["norm/scale"], "norm"),
        node("Relu", ["norm/scale"], ["norm/shift"], "active"),
        node("Sigmoid", ["norm/shift"], ["y"], "last"),
    ]
    constants = {"gamma": 2 * ones, "beta": ones, "mean": 0 * ones, "variance": ones}
    source = graph_model(nodes, {"x": [1, 3, 8, 8]}, ["y"], constants)
    found = canonical(source)
    assert {tensor.name for tensor in found.graph.initializer} == {"norm/scale_2", "norm/shift_2"}
    feeds = {"x": picture(1, 3, 8, 8)}
    np.testing.assert_allclose(run_onnx(found, feeds)[0], run_onnx(source, feeds)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("epsilon", [{"epsilon": 0.01}, {}])
def test_a_batch_norm_without_a_convolution_before_it_becomes_a_depthwise_one(epsilon: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "gamma": rng.uniform(0.5, 2, 3),
        "beta": rng.normal(0, 1, 3),
        "mean": rng.normal(0, 1, 3),
        "variance": rng.uniform(0.5, 2, 3),
        "w": rng.normal(0, 0.3, (4, 3, 3, 3)),
    }
    nodes = [
        node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["n"], "norm", **epsilon),
        node("Relu", ["n"], ["r"], "active"),
        node("Conv", ["r", "w"], ["y"], "conv"),
    ]
    source = graph_model(nodes, {"x": [1, 3, 8, 8]}, ["y"], constants)
    found = canonicalize(fix_shapes(source, {"x": None}), find_cut(source, [None], []))
    assert [(entry.op_type, entry.name) for entry in found.graph.node] == [
        ("Conv", "norm"),
        ("Relu", "active"),
        ("Conv", "conv"),
    ]
    assert {tensor.name for tensor in found.graph.initializer} == {"norm/scale", "norm/shift", "w"}
    x = rng.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run_onnx(found, {"x": x})[0], run_onnx(source, {"x": x})[0], rtol=0, atol=1e-5)


def test_a_node_named_as_an_input_is_numbered_and_no_name_is_replaced_in_params():
    nodes = [node("Relu", ["x"], ["r"], "x"), node("Neg", ["r"], ["y"], "block${i}/neg")]
    exported = canonical(graph_model(nodes, {"x": [1, 4]}, ["y"]), shapes={"x": [1, 4]})
    assert [entry.name for entry in exported.graph.node] == ["x_2", "block$(i}/neg"]


def test_an_operator_that_gives_other_values_on_each_run_is_refused():
    nodes = [node("RandomNormal", [], ["r"], "noise", shape=[1, 4]), node("Add", ["x", "r"], ["y"], "sum")]
    source = graph_model(nodes, {"x": [1, 4]}, ["y"])
    with pytest.raises(UserError, match=r"operator RandomNormal \(noise\) gives other values on each run: cut"):
        canonical(source)
    assert [entry.name for entry in canonical(source, inputs=["r"]).graph.node] == ["sum"]
