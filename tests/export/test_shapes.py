import onnx
import pytest
from onnx import TensorProto

from stages.core.base.errors import UserError
from stages.export.shapes import fix_shapes, graph_shapes, noted_shapes, shape_lines
from tests.export.graphs import graph_model, node, normalized_model, single_input
from tests.networks import tiny_classifier


def test_static_shapes_stay():
    assert graph_shapes(fix_shapes(tiny_classifier(), {"images": None})) == {"images": [1, 3, 16, 16]}


def test_dynamic_batch_becomes_one():
    fixed = fix_shapes(tiny_classifier(batch="N"), {"images": None})
    assert graph_shapes(fixed) == {"images": [1, 3, 16, 16]}
    output = fixed.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in output] == [1, 3]


def test_dynamic_height_without_a_shape_is_refused():
    with pytest.raises(UserError, match=r"'x' has the dynamic shape \[1,3,\?,8\].*model\.inputs\[\]\.shape"):
        fix_shapes(normalized_model(height="H"), {"x": None})


def test_dynamic_height_takes_the_configured_shape():
    fixed = fix_shapes(normalized_model(height="H", batch="N"), {"x": [1, 3, 12, 8]})
    assert graph_shapes(fixed) == {"x": [1, 3, 12, 8]}
    assert [dim.dim_value for dim in fixed.graph.output[0].type.tensor_type.shape.dim] == [1, 2, 12, 8]


@pytest.mark.parametrize(
    ("noted", "batch", "expected"),
    [
        ("[96, 64]", 1, {"x": [1, 3, 96, 8]}),
        ("32", 1, {"x": [1, 3, 32, 8]}),
        ("[96, 64]", "N", {"x": [1, 3, 96, 8]}),
        ("oops", 1, {}),
    ],
)
def test_open_sides_are_those_that_the_exporter_noted(noted, batch, expected):
    model = normalized_model(height="H", batch=batch)
    assert noted_shapes(model) == {}
    onnx.helper.set_model_props(model, {"imgsz": noted})
    assert noted_shapes(model) == expected


def test_a_size_of_minus_one_is_dynamic():
    fixed = fix_shapes(normalized_model(height=-1, batch=-1), {"x": [1, 3, 12, 8]})
    assert graph_shapes(fixed) == {"x": [1, 3, 12, 8]}
    with pytest.raises(UserError, match=r"dynamic shape \[\?,3,\?,8\]"):
        fix_shapes(normalized_model(height=-1, batch=-1), {"x": None})


def test_later_dynamic_inputs_take_the_last_configured_shape():
    model = graph_model([node("Add", ["a", "b"], ["y"], "sum")], {"a": [1, "C"], "b": [1, "C"]}, ["y"])
    assert graph_shapes(fix_shapes(model, {"a": [1, 5], "b": None})) == {"a": [1, 5], "b": [1, 5]}


def test_a_static_shape_is_replaced_where_the_network_runs_with_another():
    source = normalized_model()
    fixed = fix_shapes(source, {"x": [1, 3, 16, 8]})
    assert graph_shapes(fixed) == {"x": [1, 3, 16, 8]}
    assert [dim.dim_value for dim in fixed.graph.output[0].type.tensor_type.shape.dim] == [1, 2, 16, 8]
    assert shape_lines(source, fixed, "net.onnx") == [
        "input 'x' has shape [1,3,8,8] in net.onnx and [1, 3, 16, 8] from here on"
    ]
    assert shape_lines(source, fix_shapes(source, {"x": [1, 3, 8, 8]}), "net.onnx") == []


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            [1, 1, 8, 8],
            r"'x' has shape \[1,3,8,8\] in the network, which does not run with .*: leave shape out, or exp",
        ),
        ([3, 8, 8], r"'x' has 4 axes in the network, \[1,3,8,8\]; model.inputs says \[3, 8, 8\]"),
        ([1, 8, 8, 3], r"'x' has shape .*: shapes are NCHW, give \[1, 3, 8, 8\] \("),
    ],
)
def test_a_shape_that_the_network_does_not_run_with_is_refused(shape, said):
    with pytest.raises(UserError, match=said):
        fix_shapes(normalized_model(), {"x": shape})


def test_sizes_of_one_name_are_one_size():
    model = graph_model([node("Add", ["a", "b"], ["y"], "sum")], {"a": ["N", "T", 4], "b": [2, "N", "T"]}, ["y"])
    assert graph_shapes(fix_shapes(model, {"a": [1, 7, 4], "b": None})) == {"a": [1, 7, 4], "b": [2, 1, 7]}


def test_the_batch_of_a_recurrent_state_is_one():
    model = graph_model([node("Identity", ["state"], ["y"], "same")], {"state": [2, -1, 128]}, ["y"])
    assert graph_shapes(fix_shapes(model, {"state": None})) == {"state": [2, 1, 128]}


def test_a_state_of_rank_4_keeps_its_first_size():
    assert graph_shapes(fix_shapes(single_input(shape=(2, 1, 3, 5)), {"x": None})) == {"x": [2, 1, 3, 5]}


def test_fixing_shapes_leaves_the_source_alone():
    model = normalized_model(height="H")
    before = model.SerializeToString(deterministic=True)
    fix_shapes(model, {"x": [1, 3, 8, 8]})
    assert model.SerializeToString(deterministic=True) == before


def test_an_input_of_integers_is_refused_with_the_floats_that_follow():
    nodes = [
        node("Cast", ["x"], ["wide"], "widen", to=TensorProto.INT64),
        node("Gather", ["table", "wide"], ["first"], "embed"),
        node("Cast", ["wide"], ["second"], "cast", to=TensorProto.FLOAT),
        node("Add", ["first", "second"], ["y"], "sum"),
    ]
    model = graph_model(nodes, {"x": [3]}, ["y"], {"table": [1.0, 2.0]})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    with pytest.raises(UserError) as caught:
        fix_shapes(model, {"x": None})
    assert str(caught.value) == (
        "input 'x' is int32, and inputs are float: cut the network at the first float of it, with "
        """'model.inputs=[{name: "first"}, {name: "second"}]'"""
    )


def test_an_input_of_integers_without_floats_is_refused():
    with pytest.raises(UserError, match="input 'x' is uint8, inputs are float, and nothing float follows from it"):
        fix_shapes(single_input(kind=TensorProto.UINT8), {"x": None})


def test_an_input_without_a_shape_takes_the_configured_one():
    model = single_input()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert graph_shapes(fix_shapes(model, {"x": [1, 3, 4, 4]})) == {"x": [1, 3, 4, 4]}
    with pytest.raises(UserError, match=r"'x' has the dynamic shape \[\]: give model\.inputs\[\]\.shape"):
        fix_shapes(model, {"x": None})


def test_a_declared_output_with_another_number_of_axes_than_the_network_gives_is_corrected():
    nodes = [
        node("Shape", ["x"], ["sizes"], "shape"),
        node("Cast", ["sizes"], ["numbers"], "to_float", to=TensorProto.FLOAT),
        node("Mul", ["numbers", "ones"], ["same"], "product"),
        node("Cast", ["same"], ["target"], "to_int", to=TensorProto.INT64),
        node("Reshape", ["x", "target"], ["y"], "reshape"),
    ]
    model = graph_model(nodes, {"x": [1, 2, 3]}, ["y"], {"ones": [1.0, 1.0, 1.0]})
    for name in ("a", "b"):
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = name
    fixed = fix_shapes(model, {"x": None})
    assert [dim.dim_value for dim in fixed.graph.output[0].type.tensor_type.shape.dim] == [0, 0, 0]
