import pytest
from onnx import TensorProto

from stages.core.base.errors import UserError
from stages.export.shapes import fix_shapes, graph_shapes
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


def test_a_size_of_minus_one_is_dynamic():
    fixed = fix_shapes(normalized_model(height=-1, batch=-1), {"x": [1, 3, 12, 8]})
    assert graph_shapes(fixed) == {"x": [1, 3, 12, 8]}
    with pytest.raises(UserError, match=r"dynamic shape \[\?,3,\?,8\]"):
        fix_shapes(normalized_model(height=-1, batch=-1), {"x": None})


def test_later_dynamic_inputs_take_the_last_configured_shape():
    model = graph_model([node("Add", ["a", "b"], ["y"], "sum")], {"a": [1, "C"], "b": [1, "C"]}, ["y"])
    assert graph_shapes(fix_shapes(model, {"a": [1, 5], "b": None})) == {"a": [1, 5], "b": [1, 5]}


@pytest.mark.parametrize("shape", [[1, 3, 16, 8], [1, 1, 8, 8], [3, 8, 8], [1, 3, 8, 8, 1]])
def test_contradicting_shape_is_refused(shape):
    with pytest.raises(UserError, match=r"'x' has shape \[1,3,8,8\] in the network; the config says \["):
        fix_shapes(normalized_model(), {"x": shape})


def test_fixing_shapes_leaves_the_source_alone():
    model = normalized_model(height="H")
    before = model.SerializeToString(deterministic=True)
    fix_shapes(model, {"x": [1, 3, 8, 8]})
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (single_input(shape=(4, 3, 8, 8)), "has batch 4: export the network with batch 1"),
        (
            single_input(kind=TensorProto.UINT8),
            "is uint8, and inputs are float: cut the network at its first float tensor",
        ),
    ],
)
def test_inputs_that_no_picture_feeds_are_refused(model, message):
    with pytest.raises(UserError, match=message):
        fix_shapes(model, {"x": None})


def test_an_input_without_a_shape_takes_the_configured_one():
    model = single_input()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert graph_shapes(fix_shapes(model, {"x": [1, 3, 4, 4]})) == {"x": [1, 3, 4, 4]}
    with pytest.raises(UserError, match=r"'x' has the dynamic shape \[\]: give model\.inputs\[\]\.shape"):
        fix_shapes(model, {"x": None})
